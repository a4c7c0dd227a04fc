"""One optimizer step, the only part of the loop that knows the backend."""

import keras

from mdnn.models.answering_rows import LISTS
from mdnn.models.learner import Learner
from mdnn.training.precision import computing_in

# Batches from which the lengths of picks are foreseen, and by how much more they may be.
FORESEEN, MORE = 64, 1.25


def make_step(models, loss, optimizer, batches=None, precision="float32"):
    """A compiled function that learns from one batch.

    Args:
        models: a built `keras.Model`; or a dict from names to such models that have the same
            variables, as `mdnn.models.variants.variant` makes them.
        loss: `mdnn.UnitLoss`.
        optimizer: a Keras optimizer, built on the models' trainable variables.
        batches: `mdnn.data.batches.StepBatches` that will be learnt from, whose `objective` is
            the name of a model; on JAX a few of them are looked at, so that a step need not be
            compiled again when a later one has more targets of a modality.
        precision: `"float32"` or `"bfloat16"`, what the step computes with; weights, optimizer
            and loss are float32.

    Returns:
        Function `(batch, rate, name=None) -> loss`, where `batch` is a dict of the model's inputs
        whose `targets` are also what the loss compares with, and whose `weights`, if there are
        any, the loss is told; `rate` is the learning rate, `name` which of several models learns.
        It has an attribute `sync`: call it before the variables of model or optimizer are read or
        set.

    Raises:
        ValueError: a backend other than TensorFlow and JAX; models of different variables.
    """
    if not isinstance(models, dict):
        models = {None: models}
    made = {id(model): Learner(model, loss) for model in models.values()}
    learners = {name: made[id(model)] for name, model in models.items()}
    first, *others = made.values()
    for learner in others:
        if list(map(id, learner.variables)) != list(map(id, first.variables)):
            raise ValueError("expected models that share their variables, in one order")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow_step(learners, optimizer, precision)
    if backend == "jax":
        return _jax_step(learners, optimizer, batches, precision)
    raise ValueError(f"mdnn trains on the backends tensorflow and jax, received {backend}")


def loss_and_gradients(model, loss, batch):
    """The loss of a batch and its gradients by the model's trainable variables.

    Args:
        model, loss: as in `make_step`.
        batch: dict of the model's inputs, and `weights` where the loss is to be told any.

    Returns:
        The loss, a scalar, and a list of tensors, one per trainable variable.
    """
    learner = Learner(model, loss)
    batch = learner.picked(batch)
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_gradients(learner, batch)
    function = _jax_gradients(learner)
    (value, _), gradients = function(*_values(learner), batch)
    return value, gradients


def _compiled(learners, compile):
    """A dict from names to compiled functions, one for each learner however many its names are."""
    made = {id(learner): compile(learner) for learner in learners.values()}
    return {name: made[id(learner)] for name, learner in learners.items()}


def _tensorflow_gradients(learner, batch):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = learner(batch, training=True)
    variables = [v.value for v in learner.trainable_variables]
    # Zeros, as JAX has them, where only another wiring has a use for a variable.
    zero = tf.UnconnectedGradients.ZERO
    return value, tape.gradient(value, variables, unconnected_gradients=zero)


def _tensorflow_step(learners, optimizer, precision):
    import tensorflow as tf

    def compile(learner):
        # XLA is slower on a CPU: 224 ms a step instead of 45 with configs/text.toml, 2 cores.
        @tf.function(jit_compile=False)
        def step(batch, rate):
            optimizer.learning_rate.assign(rate)
            with computing_in(learner, precision):
                value, gradients = _tensorflow_gradients(learner, batch)
            optimizer.apply(gradients, learner.trainable_variables)
            return value

        traced = []

        def run(batch, rate):
            if not traced:
                spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, batch)
                # How many targets are of which modality, and how many rows hold some, differs from
                # batch to batch.
                any_number = tf.TensorSpec([None], "int32")
                spec |= {name: any_number for name in LISTS if name in batch}
                if "picks" in batch:
                    spec["picks"] = dict.fromkeys(batch["picks"], any_number)
                traced.append(step.get_concrete_function(spec, tf.TensorSpec([], "float32")))
            return traced[0](batch, rate)

        return run

    steps = _compiled(learners, compile)

    def run(batch, rate, name=None):
        tensors = tf.nest.map_structure(tf.constant, learners[name].picked(batch))
        return steps[name](tensors, tf.constant(rate, tf.float32))

    run.sync = lambda: None
    return run


def _values(learner):
    trainable = [v.value for v in learner.trainable_variables]
    return trainable, [v.value for v in learner.non_trainable_variables]


def _jax_gradients(learner):
    import jax

    def compute(trainable, fixed, batch):
        return learner.stateless_call(trainable, fixed, batch, training=True)

    return jax.value_and_grad(compute, has_aux=True)


def _foreseen(learners, batches):
    """The lengths of picks that each learner will need, as far as a few batches tell: a dict."""
    sizes = {id(learner): {} for learner in learners.values()}
    for step in range(FORESEEN if batches is not None else 0):
        learner = learners[batches.objective(step)]
        if learner.picking:
            own = sizes[id(learner)]
            found = learner.picked(batches.at(step))
            rows = {name: found[name] for name in LISTS if name in found}
            for name, index in (found["picks"] | rows).items():
                own[name] = max(own.get(name, 0), int(MORE * len(index)))
    return sizes


def _jax_step(learners, optimizer, batches, precision):
    import jax

    rate_at = [v is optimizer.learning_rate for v in optimizer.variables].index(True)

    def compile(learner):
        gradients_of = _jax_gradients(learner)

        @jax.jit
        def step(trainable, fixed, state, batch, rate):
            with computing_in(learner, precision):
                (value, fixed), gradients = gradients_of(trainable, fixed, batch)
            state = [rate if k == rate_at else v for k, v in enumerate(state)]
            trainable, state = optimizer.stateless_apply(state, gradients, trainable)
            return value, trainable, fixed, state

        return step

    steps, first = _compiled(learners, compile), next(iter(learners.values()))
    # The values of all variables, whichever model has learnt last.
    held = []
    # How many targets are picked: every other number is compiled for again.
    sizes = _foreseen(learners, batches)

    def run(batch, rate, name=None):
        # Read when first needed and after `sync`: then others may set the variables, and Keras'
        # `predict` gives away the arrays that they hold.
        held[:] = held or [*_values(first), [v.value for v in optimizer.variables]]
        learner = learners[name]
        batch = learner.picked(batch, padded=True, sizes=sizes[id(learner)])
        value, *held[:] = steps[name](*held, batch, jax.numpy.float32(rate))
        return value

    def sync():
        if not held:
            return
        owners = (first.trainable_variables, first.non_trainable_variables, optimizer.variables)
        for variables, values in zip(owners, held, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        held.clear()

    run.sync = sync
    return run
