"""AxisConv against plain numpy."""

import keras
import numpy as np
import pytest
from backends import jacobian, to_numpy, values

from mdnn.layers import AxisConv

RNG = np.random.default_rng(1)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def make(shape, *args, **kwargs):
    layer = AxisConv(*args, **kwargs)
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(normal(*weight.shape))
    return layer


def numpy_conv(x, layer, axis, causal_call=None):
    """One output position and one tap at a time, in float64."""
    kernel = to_numpy(layer.kernel).astype("float64")
    size = kernel.shape[0]
    past = size - 1 if layer.wiring == "causal" else (size - 1) // 2
    x = np.moveaxis(x.astype("float64"), axis, 0)
    out = []
    for j in range(len(x)):
        y = 0.0
        for t in range(size):
            i = j - past + t
            if 0 <= i < len(x) and not (causal_call and i > j):
                y = y + (x[i] * kernel[t] if layer.depthwise else x[i] @ kernel[t])
        out.append(y if np.ndim(y) else np.zeros_like(x[0]))
    y = np.moveaxis(np.stack(out), 0, axis)
    return y + (to_numpy(layer.bias) if layer.use_bias else 0)


@pytest.mark.parametrize("wiring", ["full", "causal"])
@pytest.mark.parametrize(
    ("shape", "axis", "kernel_size", "kwargs"),
    [
        ((2, 6, 3), 1, 1, {}),
        ((2, 6, 3), 1, 2, {"use_bias": True}),
        ((2, 4, 5, 3), 1, 3, {}),
        ((2, 4, 5, 3), -2, 4, {"use_bias": True}),
        ((1, 2, 3, 4, 2), 2, 9, {}),
        ((2, 6, 3), 1, 1, {"depthwise": False}),
        ((2, 4, 5, 3), 1, 3, {"depthwise": False, "units": 5, "use_bias": True}),
        ((2, 4, 5, 3), -2, 4, {"depthwise": False}),
        ((1, 2, 3, 4, 2), 2, 9, {"depthwise": False, "units": 1}),
    ],
)
def test_values(shape, axis, kernel_size, kwargs, wiring):
    x = normal(*shape)
    layer = make(shape, axis, kernel_size, wiring=wiring, **kwargs)
    for causal in (None, True, False):
        expected = numpy_conv(x, layer, axis, causal)
        y = values(lambda x, causal=causal: layer(x, causal=causal), x)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wiring", ["full", "causal"])
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_as_keras_conv1d(kernel_size, wiring):
    """The same weights in Keras' own convolution, with padding "same" and "causal"."""
    x = normal(2, 7, 3)
    layer = make(x.shape, 1, kernel_size, wiring=wiring, depthwise=False, units=4, use_bias=True)
    padding = "causal" if wiring == "causal" else "same"
    reference = keras.layers.Conv1D(4, kernel_size, padding=padding)
    reference.build(x.shape)
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(values(layer, x), values(reference, x), rtol=1e-4, atol=1e-5)


def test_activation():
    x = normal(2, 5, 4)
    plain = make(x.shape, 1, 3)
    layer = make(x.shape, 1, 3, activation="partial(melu, 0.5)")
    layer.set_weights(plain.get_weights())
    y = values(plain, x)
    y[..., :2] *= np.exp(np.minimum(y[..., :2], 0))
    np.testing.assert_allclose(values(layer, x), y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize(
    ("wiring", "call", "before", "after"),
    [("full", None, 1, 2), ("full", True, 1, 0), ("causal", None, 3, 0), ("causal", False, 3, 0)],
)
def test_reach(wiring, call, before, after, depthwise):
    layer = make((1, 6, 2), 1, 4, wiring=wiring, depthwise=depthwise)
    reach = jacobian(lambda x: layer(x, causal=call), normal(6, 2)).reshape(6, 2, 6, 2)
    for j, i in np.ndindex(6, 6):
        block = reach[j, :, i, :]
        if j - before <= i <= j + after:
            assert (block.diagonal() != 0).all()
            assert (block[~np.eye(2, dtype=bool)] != 0).all() == (not depthwise)
        else:
            assert (block == 0).all()


def test_start_keeps_the_size():
    """Outputs start about as large as inputs: variance 1 / fan_in."""
    for kwargs in ({}, {"depthwise": False}):
        layer = AxisConv(1, 5, kernel_initializer=None, **kwargs)
        y = values(layer, normal(8, 200, 64))
        assert 0.9 < y.std() < 1.1


def test_unknown_sizes():
    x = keras.Input((None, None, 3))
    layer = AxisConv(1, 4, depthwise=False, units=2)
    deep = AxisConv(2, 3, wiring="causal")
    model = keras.Model(x, [layer(x), deep(x)])
    assert model.output_shape == [(None, None, None, 2), (None, None, None, 3)]
    for shape in [(1, 2, 3, 3), (2, 5, 1, 3)]:
        x = normal(*shape)
        for y, one, axis in zip(model(x), (layer, deep), (1, 2), strict=True):
            np.testing.assert_allclose(to_numpy(y), numpy_conv(x, one, axis), rtol=1e-4, atol=1e-5)


def test_weights_and_operations():
    shape = (None, 6, 7, 8)
    layer = AxisConv(1, 3, use_bias=True)
    layer.build(shape)
    assert [w.shape for w in layer.weights] == [(3, 8), (8,)]
    assert layer.operations(shape) == 6 * 7 * 8 * 3
    layer = AxisConv(1, 3, depthwise=False, units=5)
    layer.build(shape)
    assert [w.shape for w in layer.weights] == [(3, 8, 5)]
    assert layer.operations(shape) == 6 * 7 * 3 * 8 * 5
    assert type(layer.operations(shape)) is int
    with pytest.raises(ValueError, match="sizes but the batch's to be known"):
        layer.operations((None, None, 7, 8))


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 3, 5, 4)])
def test_other_sizes_than_built_for(shape):
    layer = AxisConv(1, 2)
    layer.build((None, 5, 4))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(normal(*shape))


@pytest.mark.parametrize(
    ("kwargs", "shape", "message"),
    [
        ({"axis": 2, "kernel_size": 3}, (None, 5, 8), "other than the last"),
        ({"axis": 0, "kernel_size": 3}, (None, 5, 8), "other than the batch axis"),
        ({"axis": 1, "kernel_size": 3}, (None, 5, None), "known number of channels"),
        (
            {"axis": 1, "kernel_size": 0},
            None,
            "`kernel_size` to be a positive integer",
        ),
        ({"axis": 1, "kernel_size": 2.0}, None, "positive integer. Received: 2.0"),
        ({"axis": 1, "kernel_size": 3, "units": 4}, None, "`units` only with depthwise=False"),
        (
            {"axis": 1, "kernel_size": 3, "units": 0, "depthwise": False},
            None,
            "`units` to be a positive integer. Received: 0",
        ),
        ({"axis": 1, "kernel_size": 3, "wiring": "local"}, None, "full, causal. Received: 'local'"),
        ({"axis": 1, "kernel_size": 3, "activation": "mellu"}, None, "did you mean .melu."),
    ],
)
def test_errors(kwargs, shape, message):
    with pytest.raises(ValueError, match=message):
        AxisConv(**kwargs).build(shape)
