"""RandomOffsetPadding: where the items go, and how often."""

import keras
import numpy as np
import pytest
from backends import gradient, to_numpy

from mdnn.layers import RandomOffsetPadding


def items(*shape, dtype="int32"):
    """Numbers from 1 on, so that none looks like padding."""
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype)


def placed(x, length, offsets, axis=1, value=0):
    """What the layer should return, one example at a time."""
    shape = list(x.shape)
    shape[axis] = length
    y = np.full(shape, value, x.dtype)
    for example, offset in enumerate(offsets):
        place = [slice(None)] * (x.ndim - 1)
        place[axis - 1] = slice(offset, offset + x.shape[axis])
        y[(example, *place)] = x[example]
    return y


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "bool"])
@pytest.mark.parametrize(("shape", "axis"), [((3, 4), 1), ((3, 4, 2), 1), ((2, 3, 4, 2), 2)])
def test_fixed_at_inference(shape, axis, dtype):
    x = items(*shape, dtype=dtype)
    for offset in (None, 0, 2):
        layer = RandomOffsetPadding(7, axis=axis, offset=offset)
        for y in (layer(x), layer(x, training=False)):
            assert keras.backend.standardize_dtype(y.dtype) == dtype
            expected = placed(x, 7, [offset or 0] * len(x), axis)
            np.testing.assert_array_equal(to_numpy(y), expected)


def test_offset_of_the_call():
    x = items(3, 4)
    layer = RandomOffsetPadding(7, offset=1)
    for training in (False, True):
        np.testing.assert_array_equal(
            to_numpy(layer(x, offset=3, training=training)), placed(x, 7, [3, 3, 3])
        )
        each = to_numpy(layer(x, offset=np.array([2, 0, 3]), training=training))
        np.testing.assert_array_equal(each, placed(x, 7, [2, 0, 3]))
    # A tensor outside the room means the nearest place inside.
    each = to_numpy(layer(x, offset=np.array([-1, 9, 1])))
    np.testing.assert_array_equal(each, placed(x, 7, [0, 3, 1]))


def test_random_in_training():
    """Each example has its own place; every place comes about equally often; nothing is lost."""
    x = items(600, 3, 2)
    layer = RandomOffsetPadding(7, seed=0, value=-5, return_offset=True)
    y, offsets = (to_numpy(part) for part in layer(x, training=True))
    np.testing.assert_array_equal(y, placed(x, 7, offsets, value=-5))
    counts = np.bincount(offsets, minlength=5)
    assert len(counts) == 5
    # 120 ± 10 is one standard deviation
    assert counts.min() > 70
    assert counts.max() < 170
    y, more = layer(x, training=True)
    assert (to_numpy(more) != offsets).any()
    _, again = RandomOffsetPadding(7, seed=0, return_offset=True)(x, training=True)
    np.testing.assert_array_equal(to_numpy(again), offsets)


def test_return_offset():
    y, offset = RandomOffsetPadding(6, offset=2, return_offset=True)(items(3, 4))
    np.testing.assert_array_equal(to_numpy(offset), [2, 2, 2])
    np.testing.assert_array_equal(to_numpy(y), placed(items(3, 4), 6, [2, 2, 2]))
    y, offset = RandomOffsetPadding(6, return_offset=True)(keras.Input((4, 2), dtype="uint8"))
    assert (y.shape, y.dtype) == ((None, 6, 2), "uint8")
    assert (offset.shape, offset.dtype) == ((None,), "int32")


def test_number_of_items_differs_from_call_to_call():
    layer = RandomOffsetPadding(5, offset=0)
    for count in (1, 3, 5):
        x = items(2, count)
        np.testing.assert_array_equal(to_numpy(layer(x)), placed(x, 5, [0, 0]))
    full = to_numpy(layer(items(2, 5), training=True))
    np.testing.assert_array_equal(full, items(2, 5))


def test_dtype_in_a_graph():
    layer = RandomOffsetPadding(5, dtype="mixed_float16")
    assert layer(keras.Input((3,), dtype="int64")).dtype == "int64"
    assert layer(keras.Input((3,), dtype="float16")).dtype == "float16"


def test_offset_as_an_input_of_a_model():
    x, offset = keras.Input((4,), dtype="int32"), keras.Input((), dtype="int32")
    model = keras.Model([x, offset], RandomOffsetPadding(6)(x, offset=offset))
    y = model([items(3, 4), np.array([0, 1, 2], "int32")])
    np.testing.assert_array_equal(to_numpy(y), placed(items(3, 4), 6, [0, 1, 2]))


def test_gradient_goes_to_the_items():
    layer = RandomOffsetPadding(6, seed=1)
    weights = np.arange(1.0, 7.0, dtype="float32")
    slopes = gradient(
        lambda x: keras.ops.sum(layer(x, offset=np.array([1, 2])) * weights),
        items(2, 3, dtype="float32"),
    )
    np.testing.assert_array_equal(slopes, [[2, 3, 4], [3, 4, 5]])


def test_compiled():
    """Under the backend's compiler, each call draws anew."""
    x = items(64, 3, dtype="float32")
    if keras.backend.backend() == "jax":
        import jax

        layer = RandomOffsetPadding(9, seed=0)
        state = [v.value for v in layer.non_trainable_variables]

        @jax.jit
        def run(state, x):
            return layer.stateless_call([], state, x, training=True)

        first, state = run(state, x)
        second, state = run(state, x)
    elif keras.backend.backend() == "torch":
        layer = RandomOffsetPadding(9, seed=0)
        first, second = (layer(x, training=True) for _ in range(2))
    else:
        import tensorflow as tf

        layer = RandomOffsetPadding(9, seed=0)
        run = tf.function(lambda x: layer(x, training=True), jit_compile=True)
        first, second = run(x), run(x)
    first, second = to_numpy(first), to_numpy(second)
    assert (first != second).any()
    for y in (first, second):
        np.testing.assert_array_equal(np.sort(y)[:, -3:], x)
        np.testing.assert_array_equal(np.sort(y)[:, :-3], 0)


@pytest.mark.parametrize(
    ("kwargs", "call", "message"),
    [
        ({"length": 3}, {}, "at most 3 items along axis 1 of the input of .*. Received: 4 items"),
        ({"length": 6, "axis": 2}, {}, "`axis` in"),
        ({"length": 6, "axis": 0}, {}, "other than the batch axis"),
        ({"length": 0}, {}, "`length` to be an integer of at least 1. Received: 0"),
        ({"length": 6, "offset": -1}, {}, "`offset` to be an integer of at least 0. Received: -1"),
        ({"length": 6, "offset": 3}, {}, r"in 0 \.\. 2: its length is 6 .* 4 items. Received: 3"),
        ({"length": 6}, {"offset": -1}, r"in 0 \.\. 2: its length is 6 .* 4 items. Received: -1"),
    ],
)
def test_errors(kwargs, call, message):
    with pytest.raises(ValueError, match=message):
        RandomOffsetPadding(**kwargs)(items(2, 4), **call)


def test_unknown_number_of_items():
    with pytest.raises(ValueError, match="known number of items along axis 1"):
        RandomOffsetPadding(6)(keras.Input((None, 2)))
