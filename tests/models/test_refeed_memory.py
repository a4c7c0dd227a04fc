"""Memory of gradients through the last K of R steps."""

import keras
import pytest
from keras import ops
from networks import make_refeed

SHAPE = (16, 256, 16)


def peak(steps, last):
    """The most bytes that a loss and its gradient by the input take."""
    layer, x = make_refeed(SHAPE[1:], 64, bptt_steps=last), ops.ones(SHAPE)

    def loss(x):
        return ops.sum(layer(x, steps=steps))

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis().temp_size_in_bytes
    if keras.backend.backend() == "torch":
        return _kept_by_torch(loss, x)
    import tensorflow as tf

    @tf.function(autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return tape.gradient(value, x)

    counted = tf.config.experimental
    gradient(x)
    try:
        counted.reset_memory_stats("CPU:0")
    except ValueError:
        pytest.skip("TensorFlow counts a CPU's memory with oneDNN only")
    before = counted.get_memory_info("CPU:0")["current"]
    gradient(x)
    return counted.get_memory_info("CPU:0")["peak"] - before


class _Kept:
    """A tensor that PyTorch keeps for the gradient, counted while it is kept."""

    now = most = 0

    def __init__(self, tensor):
        # Detached: a tensor that kept its own history would never go.
        self.tensor, self.size = tensor.detach(), tensor.numel() * tensor.element_size()
        _Kept.now += self.size
        _Kept.most = max(_Kept.most, _Kept.now)

    def __del__(self):
        _Kept.now -= self.size


def _kept_by_torch(loss, x):
    """The most bytes of tensors kept at once for the gradient."""
    import torch

    _Kept.now = _Kept.most = 0
    with torch.autograd.graph.saved_tensors_hooks(_Kept, lambda kept: kept.tensor):
        loss(x.clone().requires_grad_()).backward()
    return _Kept.most


def test_memory_grows_with_the_steps_that_have_gradients_alone():
    one = 4 * 16 * 256 * 16
    few, many, deep = peak(8, 2), peak(32, 2), peak(32, 8)
    assert many < few + 4 * one
    # Each of 6 steps more keeps a state at least.
    assert deep >= many + 6 * one
