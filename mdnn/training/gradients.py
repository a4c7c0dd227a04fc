"""One optimizer step, the only part of the loop that knows the backend."""

import keras

INPUTS = ("tokens", "targets")


def make_step(models, loss, optimizer):
    """A compiled function that learns from one batch.

    Args:
        models: a built `keras.Model`; or a dict from names to such models that have the same
            variables, as `mdnn.models.variants.variant` makes them.
        loss: function `(y_true, y_pred, sample_weight=None) -> scalar`.
        optimizer: a Keras optimizer, built on the models' trainable variables.

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
    first = next(iter(models.values()))
    for model in models.values():
        if list(map(id, model.variables)) != list(map(id, first.variables)):
            raise ValueError("expected models that share their variables, in one order")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow_step(models, loss, optimizer)
    if backend == "jax":
        return _jax_step(models, loss, optimizer)
    raise ValueError(f"mdnn trains on the backends tensorflow and jax, received {backend}")


def loss_and_gradients(model, loss, batch):
    """The loss of a batch and its gradients by the model's trainable variables.

    Args:
        model, loss: as in `make_step`.
        batch: dict of the model's inputs, and `weights` where the loss is to be told any.

    Returns:
        The loss, a scalar, and a list of tensors, one per trainable variable.
    """
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_gradients(model, loss, batch)
    function = _jax_gradients(model, loss)
    (value, _), gradients = function(*_values(model), batch)
    return value, gradients


def _inputs(batch):
    return {name: batch[name] for name in INPUTS}


def _compiled(models, compile):
    """A dict from names to compiled functions, one for each model however many its names are."""
    made = {id(model): compile(model) for model in models.values()}
    return {name: made[id(model)] for name, model in models.items()}


def _tensorflow_gradients(model, loss, batch):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        scores = model(_inputs(batch), training=True)
        value = loss(batch["targets"], scores, sample_weight=batch.get("weights"))
    variables = [v.value for v in model.trainable_variables]
    # Zeros, as JAX has them, where only another wiring has a use for a variable.
    gradients = tape.gradient(value, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return value, gradients


def _tensorflow_step(models, loss, optimizer):
    import tensorflow as tf

    def compile(model):
        # XLA is slower on a CPU: 224 ms a step instead of 45 with configs/text.toml, 2 cores.
        @tf.function(jit_compile=False)
        def step(batch, rate):
            optimizer.learning_rate.assign(rate)
            value, gradients = _tensorflow_gradients(model, loss, batch)
            optimizer.apply(gradients, model.trainable_variables)
            return value

        return step

    steps = _compiled(models, compile)

    def run(batch, rate, name=None):
        tensors = {key: tf.constant(array) for key, array in batch.items()}
        return steps[name](tensors, tf.constant(rate, tf.float32))

    run.sync = lambda: None
    return run


def _values(model):
    trainable = [v.value for v in model.trainable_variables]
    return trainable, [v.value for v in model.non_trainable_variables]


def _jax_gradients(model, loss):
    import jax

    def compute(trainable, fixed, batch):
        scores, fixed = model.stateless_call(trainable, fixed, _inputs(batch), training=True)
        return loss(batch["targets"], scores, sample_weight=batch.get("weights")), fixed

    return jax.value_and_grad(compute, has_aux=True)


def _jax_step(models, loss, optimizer):
    import jax

    rate_at = [v is optimizer.learning_rate for v in optimizer.variables].index(True)

    def compile(model):
        gradients_of = _jax_gradients(model, loss)

        @jax.jit
        def step(trainable, fixed, state, batch, rate):
            (value, fixed), gradients = gradients_of(trainable, fixed, batch)
            state = [rate if k == rate_at else v for k, v in enumerate(state)]
            trainable, state = optimizer.stateless_apply(state, gradients, trainable)
            return value, trainable, fixed, state

        return step

    steps, first = _compiled(models, compile), next(iter(models.values()))
    # The values of all variables, whichever model has learnt last.
    held = []

    def run(batch, rate, name=None):
        # Read when first needed and after `sync`: then others may set the variables, and Keras'
        # `predict` gives away the arrays that they hold.
        held[:] = held or [*_values(first), [v.value for v in optimizer.variables]]
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
