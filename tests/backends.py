"""Values and gradients on every backend, for tests."""

import keras
import numpy as np

JIT = "auto" if keras.backend.backend() == "jax" else False
"""`jit_compile` for `compile`: XLA on TensorFlow takes seconds per model; JAX needs it."""


def to_numpy(x):
    """A tensor, variable or array as a numpy array; any float dtype as float32."""
    if "float" in keras.backend.standardize_dtype(x.dtype):
        x = keras.ops.cast(x, "float32")
    return keras.ops.convert_to_numpy(x)


def run(function, *args):
    """Calls a function of arrays without side effects.

    On JAX compiled as a whole: op by op, every new shape of every op would be compiled alone.
    """
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    return function(*args)


def values(function, *args):
    """What `run` gives, as a numpy array."""
    return to_numpy(run(function, *args))


def jacobian(function, x):
    """All derivatives of a function without a batch.

    Args:
        function: From a batch of inputs `[batch, *x.shape]` to `[batch, *y.shape]`, each row from
            its own input alone.
        x: Float32 array, one input.

    Returns:
        Array `[y.size, x.size]`.
    """
    size = values(function, x[None]).size
    batch = np.broadcast_to(x, (size, *x.shape))
    # Row r of the batch gives output r: one pass backwards for all of them.
    pick = np.eye(size, dtype="float32")
    rows = gradient(
        lambda x: keras.ops.sum(keras.ops.reshape(function(x), (size, -1)) * pick), batch
    )
    return rows.reshape(size, -1)


def gradient(function, x):
    """Gradient of a scalar function at an array `x`: an array of its shape."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(np.asarray(x)))
    if keras.backend.backend() == "torch":
        x = keras.ops.convert_to_tensor(x).requires_grad_()
        (found,) = torch_gradients(function(x), [x])
        return to_numpy(found)
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


def torch_gradients(value, tensors):
    """Gradients of a scalar tensor of PyTorch: zeros where it does not depend on a tensor."""
    import torch

    found = torch.autograd.grad(value, tensors, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(tensors, found, strict=True)]


def weight_gradients(model, loss, inputs):
    """Gradients of `loss(outputs)`, a scalar, by a model's trainable weights.

    Returns:
        Dict from a weight's path to an array; zeros where the loss does not depend on it.
    """
    trainable = model.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        def compute(values, inputs):
            fixed = [v.value for v in model.non_trainable_variables]
            return loss(model.stateless_call(values, fixed, inputs)[0])

        found = jax.jit(jax.grad(compute))([v.value for v in trainable], inputs)
    elif keras.backend.backend() == "torch":
        found = torch_gradients(loss(model(inputs)), [v.value for v in trainable])
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(model(inputs))
        found = tape.gradient(
            value, [v.value for v in trainable], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
    return {v.path: to_numpy(g) for v, g in zip(trainable, found, strict=True)}
