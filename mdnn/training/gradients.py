"""One optimizer step, the only part of the loop that knows the backend."""

import keras


def make_step(model, loss, optimizer):
    """A compiled function that learns from one batch.

    Args:
        model: a built `keras.Model`.
        loss: function `(y_true, y_pred) -> scalar`.
        optimizer: a Keras optimizer, built on the model's trainable variables.

    Returns:
        Function `(batch, rate) -> loss`, where `batch` is a dict of the model's inputs whose
        `targets` are also what the loss compares with, and `rate` the learning rate. It has an
        attribute `sync`: call it before the variables of model or optimizer are read or set.

    Raises:
        ValueError: a backend other than TensorFlow and JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow_step(model, loss, optimizer)
    if backend == "jax":
        return _jax_step(model, loss, optimizer)
    raise ValueError(f"mdnn trains on the backends tensorflow and jax, received {backend}")


def loss_and_gradients(model, loss, batch):
    """The loss of a batch and its gradients by the model's trainable variables.

    Args:
        model, loss: as in `make_step`.
        batch: dict of the model's inputs.

    Returns:
        The loss, a scalar, and a list of tensors, one per trainable variable.
    """
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_gradients(model, loss, batch)
    function = _jax_gradients(model, loss)
    (value, _), gradients = function(*_values(model), batch)
    return value, gradients


def _tensorflow_gradients(model, loss, batch):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss(batch["targets"], model(batch, training=True))
    return value, tape.gradient(value, [v.value for v in model.trainable_variables])


def _tensorflow_step(model, loss, optimizer):
    import tensorflow as tf

    # XLA is slower on a CPU: 224 ms a step instead of 45 with configs/text.toml, 2 cores.
    @tf.function(jit_compile=False)
    def step(batch, rate):
        optimizer.learning_rate.assign(rate)
        value, gradients = _tensorflow_gradients(model, loss, batch)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    def run(batch, rate):
        tensors = {name: tf.constant(array) for name, array in batch.items()}
        return step(tensors, tf.constant(rate, tf.float32))

    run.sync = lambda: None
    return run


def _values(model):
    trainable = [v.value for v in model.trainable_variables]
    return trainable, [v.value for v in model.non_trainable_variables]


def _jax_gradients(model, loss):
    import jax

    def compute(trainable, fixed, batch):
        scores, fixed = model.stateless_call(trainable, fixed, batch, training=True)
        return loss(batch["targets"], scores), fixed

    return jax.value_and_grad(compute, has_aux=True)


def _jax_step(model, loss, optimizer):
    import jax

    gradients_of = _jax_gradients(model, loss)
    rate_at = [v is optimizer.learning_rate for v in optimizer.variables].index(True)

    @jax.jit
    def step(trainable, fixed, state, batch, rate):
        (value, fixed), gradients = gradients_of(trainable, fixed, batch)
        state = [rate if k == rate_at else v for k, v in enumerate(state)]
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        return value, trainable, fixed, state

    held = []

    def run(batch, rate):
        # Read when first needed and after `sync`: then others may set the variables, and Keras'
        # `predict` gives away the arrays that they hold.
        held[:] = held or [*_values(model), [v.value for v in optimizer.variables]]
        value, *held[:] = step(*held, batch, jax.numpy.float32(rate))
        return value

    def sync():
        if not held:
            return
        owners = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
        for variables, values in zip(owners, held, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        held.clear()

    run.sync = sync
    return run
