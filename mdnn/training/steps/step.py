"""Builds the training step for the current Keras backend."""

import keras

from mdnn.keras_settings import check_training_backend
from mdnn.models.loss_model import LossModel


def make_step(
    models,
    loss,
    optimizer,
    batches=None,
    precision="float32",
    loss_model=LossModel,
    xla=False,
    microbatches=1,
    strategy=None,
    devices=None,
):
    """Builds a compiled training step.

    Args:
        models: a built `keras.Model`; or a dict from names to such models that have the same
            variables, as `Network.with_options` makes them.
        loss: `mdnn.TokenCrossEntropy`.
        optimizer: a Keras optimizer, built on the models' trainable variables.
        batches: the training batches, a `mdnn.datasets.batches.step_batches.StepBatches` (see
            `mdnn.training.steps.step_jax.JaxStep`), or `None`.
        precision: compute dtype: `"float32"`, `"bfloat16"` or `"float16"`; weights, optimizer and
            loss are float32.
        loss_model: function from a model and the loss to a `LossModel`.
        xla: bool, whether to compile the step with XLA on TensorFlow. JAX always does.
        microbatches: int, a divisor of the batch size: number of microbatches that TensorFlow
            computes in parallel (see `mdnn.training.microbatches`). Ignored with XLA and for loss
            models that are not `divisible`.
        strategy: `mdnn.training.steps.evolution.EvolutionStrategy`, which estimates the gradients;
            `None` for backpropagation.
        devices: `mdnn.training.mesh.device_mesh.DeviceMesh` that computes the step, on JAX; `None`
            for one device.

    Returns:
        A `mdnn.training.steps.step_base.TrainingStep`.

    Raises:
        MdnnError: a backend other than TensorFlow and JAX.
        ValueError: models with different variables.
    """
    check_training_backend(keras.backend.backend())
    if not isinstance(models, dict):
        models = {None: models}
    made = {id(model): loss_model(model, loss) for model in models.values()}
    loss_models = {name: made[id(model)] for name, model in models.items()}
    first, *others = made.values()
    for other in others:
        if list(map(id, other.variables)) != list(map(id, first.variables)):
            raise ValueError("expected models that share their variables, in one order")
    if strategy is not None:
        strategy.start(first.trainable_variables)
    # Deferred imports: each module needs its own backend.
    if keras.backend.backend() == "tensorflow":
        from mdnn.training.steps.step_tensorflow import TensorFlowStep

        if xla or strategy is not None or not first.divisible:
            microbatches = 1
        return TensorFlowStep(loss_models, optimizer, precision, xla, microbatches, strategy)
    if devices is not None:
        from mdnn.training.mesh.mesh_step import MeshStep

        return MeshStep(loss_models, optimizer, precision, batches, strategy, devices)
    from mdnn.training.steps.step_jax import JaxStep

    return JaxStep(loss_models, optimizer, precision, batches, strategy)
