"""What has its gradient written by hand, against Keras' own operations."""

import keras
import numpy as np
import pytest
from keras import ops
from layer_gradients import output_and_gradients

from mdnn.layers.fused_ops import silu_gate, sparse_cross_entropy


class _Function(keras.layers.Layer):
    """A function of one tensor as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def _compare(own, right, x, w, **tolerance):
    found = []
    for function in (own, right):
        layer = _Function(function)
        layer.build(x.shape)
        y, dx, _ = output_and_gradients(layer, x, w)
        found.append((np.asarray(y), np.asarray(dx)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_silu_gate(scale):
    rng = np.random.default_rng(1)
    x = (scale * rng.normal(size=(2, 3, 8))).astype("float32")
    w = rng.normal(size=(2, 3, 4)).astype("float32")
    _compare(
        lambda x: silu_gate(*ops.split(x, 2, axis=-1)),
        lambda x: ops.silu(x[..., :4]) * x[..., 4:],
        x,
        w,
        rtol=1e-5,
        atol=1e-5,
    )


def test_silu_gate_in_half_the_bits():
    rng = np.random.default_rng(1)
    u, v = (ops.cast(rng.normal(size=(64, 32)), "bfloat16") for _ in range(2))
    y = silu_gate(u, v)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    u, v, y = (ops.convert_to_numpy(ops.cast(a, "float32")) for a in (u, v, y))
    np.testing.assert_allclose(y, u / (1 + np.exp(-u)) * v, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 256)])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_sparse_cross_entropy(shape, scale):
    rng = np.random.default_rng(1)
    x = (scale * rng.normal(size=shape) + 100).astype("float32")
    answers = rng.integers(shape[-1], size=shape[:-1])
    w = rng.normal(size=shape[:-1]).astype("float32")
    _compare(
        lambda x: sparse_cross_entropy(x, answers),
        lambda x: ops.sparse_categorical_crossentropy(answers, x, from_logits=True),
        x,
        w,
        rtol=1e-5,
        atol=1e-4 * scale,
    )


def test_sparse_cross_entropy_of_what_cannot_be():
    # As configs forbid classes: a score of minus 1e9, and one of minus infinity.
    for low in (-1e9, -np.inf):
        scores = np.array([[0.0, low, 0.0]], "float32")
        nats = ops.convert_to_numpy(sparse_cross_entropy(scores, np.array([0])))
        np.testing.assert_allclose(nats, np.log(2), rtol=1e-6)


def test_sparse_cross_entropy_of_no_rows():
    # Of a modality that a batch asks nothing of; compiled, too.
    x, w = np.zeros((0, 5), "float32"), np.zeros(0, "float32")
    _compare(
        lambda x: sparse_cross_entropy(x, np.zeros(0, "int32")),
        lambda x: ops.sum(x, axis=-1),
        x,
        w,
        atol=0,
    )
