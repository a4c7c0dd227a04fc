"""Makes the training step of the backend at hand."""

import keras

from mdnn.keras_settings import check_training_backend
from mdnn.models.loss_model import LossModel


def make_step(
    models,
    loss,
    optimizer,
    batches=None,
    precision="float32",
    learner=LossModel,
    xla=False,
    parts=1,
):
    """Returns a compiled step that learns from one batch.

    Args:
        models: a built `keras.Model`; or a dict from names to such models that have the same
            variables, as `Network.with_options` makes them.
        loss: `mdnn.TokenCrossEntropy`.
        optimizer: a Keras optimizer, built on the models' trainable variables.
        batches: `mdnn.datasets.batches.text_batches.StepBatches` that will be learnt from (see
            `mdnn.training.step_jax.JaxStep`), or `None`.
        precision: `"float32"`, `"bfloat16"` or `"float16"`, what the step computes with; weights,
            optimizer and loss are float32.
        learner: function from a model and the loss to a `LossModel`.
        xla: whether XLA compiles the step on TensorFlow, too.
        parts: int, a divisor of the batches' length: the microbatches in which TensorFlow
            computes a batch, side by side (see `mdnn.training.microbatches`). Without effect on
            learners that are not `divisible`, and with XLA.

    Returns:
        A `mdnn.training.step_base.TrainingStep`.

    Raises:
        MdnnError: a backend other than TensorFlow and JAX.
        ValueError: models of different variables.
    """
    check_training_backend(keras.backend.backend())
    if not isinstance(models, dict):
        models = {None: models}
    made = {id(model): learner(model, loss) for model in models.values()}
    learners = {name: made[id(model)] for name, model in models.items()}
    first, *others = made.values()
    for other in others:
        if list(map(id, other.variables)) != list(map(id, first.variables)):
            raise ValueError("expected models that share their variables, in one order")
    # imported late: each needs its backend
    if keras.backend.backend() == "tensorflow":
        from mdnn.training.step_tensorflow import TensorFlowStep

        parts = parts if first.divisible and not xla else 1
        return TensorFlowStep(learners, optimizer, precision, xla, parts)
    from mdnn.training.step_jax import JaxStep

    return JaxStep(learners, optimizer, precision, batches)
