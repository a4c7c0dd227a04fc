"""One optimizer step, the only part of the loop that knows the backend."""

import keras
import numpy as np
from keras import ops

from mdnn.keras_settings import check_training_backend
from mdnn.models.active_rows import LISTS
from mdnn.models.loss_model import LossModel
from mdnn.training.mixed_precision import compute_dtype_scope

# Batches from which the lengths of target_indices are foreseen, and by how much more they may be.
FORESEEN, MORE = 64, 1.25


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
    """A compiled function that learns from one batch.

    Args:
        models: a built `keras.Model`; or a dict from names to such models that have the same
            variables, as `Network.with_options` makes them.
        loss: `mdnn.TokenCrossEntropy`.
        optimizer: a Keras optimizer, built on the models' trainable variables.
        batches: `mdnn.datasets.batches.text_batches.StepBatches` that will be learnt from, whose
            `objective` is the name of a model; on JAX a few of them are looked at, so that a step
            need not be compiled again when a later one has more targets of a modality.
        precision: `"float32"`, `"bfloat16"` or `"float16"`, what the step computes with; weights,
            optimizer and loss are float32.
        learner: function from a model and the loss to a `LossModel`.
        xla: whether XLA compiles the step on TensorFlow, too.
        parts: int, a divisor of the batches' length: in how many parts TensorFlow computes a
            batch, side by side (see `mdnn.training.microbatches`). Not of learners that are not
            `divisible`, nor with XLA.

    Returns:
        Function `(batch, rate, name=None) -> loss`, where `batch` is a dict of the model's inputs
        whose `targets` are also what the loss compares with, and whose `weights`, if there are
        any, the loss is told; `rate` is the learning rate, `name` which of several models learns.
        Where the loss or a gradient is not finite, nothing is learnt. It has attributes `sync`:
        call it before the variables of model or optimizer are read or set; and `fault`: of the
        last call, the number of the trainable variable with the largest gradient and its largest
        value, where the loss or a gradient was not finite, else -1 and 0; `learners`, a dict from
        the names to learners; and `read`: function from a variable of theirs that is not trained
        to its value, an array, without `sync`.

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
    for learner in others:
        if list(map(id, learner.variables)) != list(map(id, first.variables)):
            raise ValueError("expected models that share their variables, in one order")
    if keras.backend.backend() == "tensorflow":
        parts = parts if first.divisible and not xla else 1
        return _tensorflow_step(learners, optimizer, precision, xla, parts)
    return _jax_step(learners, optimizer, batches, precision)


def loss_and_gradients(model, loss, batch):
    """The loss of a batch and its gradients by the model's trainable variables.

    Args:
        model, loss: as in `make_step`.
        batch: dict of the model's inputs, and `weights` where the loss is to be told any.

    Returns:
        The loss, a scalar, and a list of tensors, one per trainable variable.
    """
    learner = LossModel(model, loss)
    batch = learner.with_target_indices(batch)
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_gradients(learner, [batch])
    function = _jax_gradients(learner)
    (_, (value, _)), gradients = function(*_values(learner), batch)
    return value, gradients


def _compiled(learners, compile):
    """A dict from names to compiled functions, one for each learner however many its names are."""
    made = {id(learner): compile(learner) for learner in learners.values()}
    return {name: made[id(learner)] for name, learner in learners.items()}


def _tensorflow_gradients(learner, batches, scaled=lambda value: value):
    """The loss of a batch that is given in parts, and gradients of what `scaled` makes of it."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        shares = zip(batches, learner.shares(batches), strict=True)
        value = sum(learner(batch, training=True) * share for batch, share in shares)
        large = scaled(value)
    variables = [v.value for v in learner.trainable_variables]
    # Zeros, as JAX has them, where only another wiring has a use for a variable.
    zero = tf.UnconnectedGradients.ZERO
    return value, tape.gradient(large, variables, unconnected_gradients=zero)


def _faulty(value, gradients, scale):
    """Whether a step must not be learnt from, a boolean scalar.

    A scaled loss whose gradients are too large for half precision is the optimizer's own affair:
    it takes a smaller scale.
    """
    finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients]))
    if scale is not None:
        finite = ops.logical_or(finite, scale > 1)
    return ops.logical_not(ops.logical_and(finite, ops.isfinite(value)))


def _largest(gradients, scale):
    """The number of the gradient with the largest value, one that is not finite being larger than
    any that is, and that value."""
    peaks = [
        ops.where(ops.all(ops.isfinite(g)), ops.max(ops.abs(ops.cast(g, "float32"))), np.inf)
        for g in gradients
    ]
    peaks = ops.stack(peaks) / (1.0 if scale is None else scale)
    return ops.cast(ops.argmax(peaks), "int32"), ops.max(peaks)


def _scale_of(optimizer):
    """The variable by which an optimizer scales the loss; `None` where it does not."""
    return getattr(optimizer, "dynamic_scale", None)


def _tensorflow_step(learners, optimizer, precision, xla, parts):
    import tensorflow as tf

    def compile(learner):
        # On a CPU of 2 cores XLA takes 224 ms a step instead of 45 with configs/text.toml, and 484
        # instead of 934 with configs/maze.toml and 128 puzzles.
        @tf.function(jit_compile=xla)
        def step(batches, rate):
            optimizer.learning_rate.assign(rate)
            with compute_dtype_scope(learner, precision):
                value, gradients = _tensorflow_gradients(learner, batches, optimizer.scale_loss)
            scale = _scale_of(optimizer)
            scale = None if scale is None else tf.convert_to_tensor(scale)
            dense = [g.values if isinstance(g, tf.IndexedSlices) else g for g in gradients]

            def learn():
                optimizer.apply(gradients, learner.trainable_variables)
                return tf.constant(-1), tf.constant(0.0)

            return value, tf.cond(
                _faulty(value, dense, scale), lambda: _largest(dense, scale), learn
            )

        traced = []

        def spec_of(batch):
            spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, batch)
            # How many targets are of which modality, and how many rows hold some, differs from
            # batch to batch.
            any_number = tf.TensorSpec([None], "int32")
            spec |= {name: any_number for name in LISTS if name in batch}
            if "target_indices" in batch:
                spec["target_indices"] = dict.fromkeys(batch["target_indices"], any_number)
            return spec

        def run(batches, rate):
            if not traced:
                specs = [spec_of(batch) for batch in batches]
                traced.append(step.get_concrete_function(specs, tf.TensorSpec([], "float32")))
            return traced[0](batches, rate)

        return run

    steps = _compiled(learners, compile)

    def run(batch, rate, name=None):
        learner = learners[name]
        batches = (
            [learner.with_target_indices(batch)]
            if parts == 1
            else learner.microbatches(batch, parts)
        )
        tensors = tf.nest.map_structure(tf.constant, batches)
        value, run.fault = steps[name](tensors, tf.constant(rate, tf.float32))
        return value

    run.sync = lambda: None
    run.learners, run.read = learners, lambda variable: variable.numpy()
    return run


def _values(learner):
    trainable = [v.value for v in learner.trainable_variables]
    return trainable, [v.value for v in learner.non_trainable_variables]


def _jax_gradients(learner):
    """Function `(trainable, fixed, batch, scale=1) -> ((_, (loss, fixed)), gradients)`; of the loss
    times the scale."""
    import jax

    def compute(trainable, fixed, batch, scale=1.0):
        value, fixed = learner.stateless_call(trainable, fixed, batch, training=True)
        return value * scale, (value, fixed)

    return jax.value_and_grad(compute, has_aux=True)


def _foreseen(learners, batches):
    """The lengths of target_indices that each learner will need, as far as a few batches tell: a
    dict."""
    sizes = {id(learner): {} for learner in learners.values()}
    for step in range(FORESEEN if batches is not None else 0):
        learner = learners[batches.objective(step)]
        if learner.uses_target_indices:
            own = sizes[id(learner)]
            found = learner.with_target_indices(batches.at(step))
            rows = {name: found[name] for name in LISTS if name in found}
            for name, index in (found["target_indices"] | rows).items():
                own[name] = max(own.get(name, 0), int(MORE * len(index)))
    return sizes


def _jax_step(learners, optimizer, batches, precision):
    import jax

    rate_at = [v is optimizer.learning_rate for v in optimizer.variables].index(True)
    scales = [v is _scale_of(optimizer) for v in optimizer.variables]

    def compile(learner):
        gradients_of = _jax_gradients(learner)

        @jax.jit
        def step(trainable, fixed, state, batch, rate):
            scale = state[scales.index(True)] if any(scales) else None
            given = () if scale is None else (scale,)
            with compute_dtype_scope(learner, precision):
                (_, (value, fixed)), gradients = gradients_of(trainable, fixed, batch, *given)
            state = [rate if k == rate_at else v for k, v in enumerate(state)]

            def learn():
                learnt, own = optimizer.stateless_apply(state, gradients, trainable)
                return (jax.numpy.int32(-1), jax.numpy.float32(0)), list(learnt), list(own)

            def leave():
                return _largest(gradients, scale), trainable, state

            fault, trainable, state = jax.lax.cond(_faulty(value, gradients, scale), leave, learn)
            return value, fault, trainable, fixed, state

        return step

    steps, first = _compiled(learners, compile), next(iter(learners.values()))
    # The values of all variables, whichever model has learnt last.
    held = []
    # How many targets are with_target_indices: every other number is compiled for again.
    sizes = _foreseen(learners, batches)

    def run(batch, rate, name=None):
        # Read when first needed and after `sync`: then others may set the variables, and Keras'
        # `predict` gives away the arrays that they hold.
        held[:] = held or [*_values(first), [v.value for v in optimizer.variables]]
        learner = learners[name]
        batch = learner.with_target_indices(batch, padded=True, sizes=sizes[id(learner)])
        value, run.fault, *held[:] = steps[name](*held, batch, jax.numpy.float32(rate))
        return value

    def sync():
        if not held:
            return
        owners = (first.trainable_variables, first.non_trainable_variables, optimizer.variables)
        for variables, values in zip(owners, held, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        held.clear()

    def read(variable):
        if not held:
            return np.asarray(variable.value)
        number = [v is variable for v in first.non_trainable_variables].index(True)
        return np.asarray(held[1][number])

    run.sync, run.learners, run.read = sync, learners, read
    return run
