"""AxisLocal against plain numpy."""

import numpy as np
import pytest
from backends import jacobian, to_numpy, values

from mdnn.layers import AxisLocal, MultidimDense

RNG = np.random.default_rng(2)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def make(shape, *args, **kwargs):
    layer = AxisLocal(*args, **kwargs)
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(normal(*weight.shape))
    return layer


def numpy_local(x, kernel, bias, axis, over, groups, window, causal):
    """One number of the output at a time, in float64."""
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        index = tuple(place[a] for a in over)
        if groups > 1:
            index += (place[-1] * groups // x.shape[-1],)
        j = place[axis]
        for t in range(2 * window + 1):
            i = j - window + t
            if 0 <= i < x.shape[axis] and not (causal and i > j):
                source = (*place[:axis], i, *place[axis + 1 :])
                y[place] += float(x[source]) * float(kernel[(*index, j, t)])
        y[place] += 0 if bias is None else bias[(*index, j)]
    return y


CASES = [  # shape, axis, sharing, groups, axes over which kernels differ, kernel's leading sizes
    ((2, 5), 1, "shared", 1, (), ()),
    ((2, 5, 4), 1, "shared", 1, (), ()),
    ((2, 5, 4), 2, "shared", 1, (), ()),
    ((2, 5, 4), 1, "shared", 2, (), (2,)),
    ((2, 5, 4), -2, "shared", 4, (), (4,)),
    ((2, 3, 4, 2), 1, "separate", 1, (2, 3), (4, 2)),
    ((2, 3, 4, 2), 2, "separate", 1, (1, 3), (3, 2)),
    ((2, 3, 4, 2), 3, "separate", 1, (1, 2), (3, 4)),
    ((2, 3, 4, 2), 2, (1,), 2, (1,), (3, 2)),
    ((2, 3, 4, 2), 1, (2,), 1, (2,), (4,)),
    ((2, 3, 4, 2), 1, (-1,), 1, (3,), (2,)),
]


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize(("shape", "axis", "sharing", "groups", "over", "lead"), CASES)
def test_values(shape, axis, sharing, groups, over, lead, window):
    x = normal(*shape)
    wiring, use_bias = ("causal", True) if window % 2 else ("full", False)
    layer = make(
        shape, axis, window, wiring=wiring, sharing=sharing, groups=groups, use_bias=use_bias
    )
    assert layer.kernel.shape == (*lead, shape[axis], 2 * window + 1)
    bias = to_numpy(layer.bias) if use_bias else None
    for causal in (None, True, False):
        expected = numpy_local(
            x,
            to_numpy(layer.kernel),
            bias,
            axis % len(shape),
            over,
            groups,
            window,
            wiring == "causal" if causal is None else causal,
        )
        y = values(lambda x, causal=causal: layer(x, causal=causal), x)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [0, 2, 9])
@pytest.mark.parametrize(("axis", "wiring"), [(1, "full"), (2, "causal")])
def test_as_multidim_dense_with_local_wiring(axis, wiring, window):
    shape = (2, 5, 6)
    x = normal(*shape)
    layer = make(shape, axis, window, wiring=wiring)
    kernel = to_numpy(layer.kernel)
    n = shape[axis]
    whole = np.zeros((n, n), "float32")
    for i, j in np.ndindex(n, n):
        if abs(i - j) <= window:
            whole[i, j] = kernel[j, i - j + window]
    words = "local" if wiring == "full" else "causal+local"
    dense = MultidimDense(axis, sharing="shared", wiring=words, window=window)
    dense.build(shape)
    dense.set_weights([whole])
    np.testing.assert_allclose(values(layer, x), values(dense, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("call", "after"), [(None, 2), (True, 0)])
def test_reach(call, after):
    layer = make((1, 7, 2), 1, 2)
    reach = jacobian(lambda x: layer(x, causal=call), normal(7, 2)).reshape(7, 2, 7, 2)
    for j, i in np.ndindex(7, 7):
        if j - 2 <= i <= j + after:
            assert (reach[j, :, i].diagonal() != 0).all()
            assert (reach[j, :, i][~np.eye(2, dtype=bool)] == 0).all()
        else:
            assert (reach[j, :, i] == 0).all()


def test_activation():
    x = normal(2, 5)
    plain = make(x.shape, 1, 1)
    layer = make(x.shape, 1, 1, activation="abs")
    layer.set_weights(plain.get_weights())
    np.testing.assert_array_equal(values(layer, x), abs(values(plain, x)))


@pytest.mark.parametrize("wiring", ["full", "causal"])
def test_start_keeps_the_size(wiring):
    """Outputs start about as large as inputs, edges counted."""
    layer = AxisLocal(1, 8, wiring=wiring, sharing="separate")
    y = values(layer, normal(8, 20, 64))
    assert 0.93 < y.std() < 1.07


def test_weights_and_operations():
    shape = (None, 6, 7, 8)
    layer = AxisLocal(1, 2, use_bias=True, groups=4)
    layer.build(shape)
    assert [w.shape for w in layer.weights] == [(4, 6, 5), (4, 6)]
    assert layer.operations(shape) == 6 * 7 * 8 * 5
    assert AxisLocal(1, 2, wiring="causal").operations(shape) == 6 * 7 * 8 * 3
    assert type(layer.operations(shape)) is int
    with pytest.raises(ValueError, match="sizes but the batch's to be known"):
        layer.operations((None, 6, None, 8))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 5, 6), (2, 5, 4, 4)])
def test_other_sizes_than_built_for(shape):
    layer = AxisLocal(1, 1, groups=2)
    layer.build((None, 5, 4))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(normal(*shape))


@pytest.mark.parametrize(
    ("kwargs", "shape", "message"),
    [
        ({"axis": 0, "window": 1}, (None, 5, 8), "other than the batch axis"),
        ({"axis": 1, "window": -1}, None, "`window` to be an integer of at least 0. Received: -1"),
        ({"axis": 1, "window": 1.0}, None, "at least 0. Received: 1.0"),
        ({"axis": 1, "window": 1, "groups": 0}, None, "`groups` to be an integer of at least 1"),
        ({"axis": 1, "window": 1, "groups": 3}, (None, 5, 8), "multiple of its 3 groups"),
        ({"axis": 2, "window": 1, "groups": 2}, (None, 5, 8), "groups=1 where"),
        (
            {"axis": 1, "window": 1, "groups": 2, "sharing": "separate"},
            (None, 5, 8),
            "groups=1 where",
        ),
        ({"axis": 1, "window": 1}, (None, None, 8), r"sizes of axes \[1\] to be known"),
        (
            {"axis": 1, "window": 1, "sharing": [2]},
            (None, 5, None),
            r"sizes of axes \[1, 2\] to be known",
        ),
        ({"axis": 1, "window": 1, "sharing": [1]}, (None, 5, 8), "name other axes"),
        ({"axis": 1, "window": 1, "sharing": "mine"}, None, "`sharing` to be one of"),
        ({"axis": 1, "window": 1, "wiring": "random"}, None, "full, causal. Received: 'random'"),
    ],
)
def test_errors(kwargs, shape, message):
    with pytest.raises(ValueError, match=message):
        AxisLocal(**kwargs).build(shape)


def test_a_bias_along_an_axis_as_long_as_the_channels():
    # Where Keras' own addition would take it for a bias of channels.
    layer = AxisLocal(1, 1, use_bias=True)
    layer.build((2, 3, 3))
    layer.bias.assign([0, 1, 2])
    y = to_numpy(layer(np.zeros((2, 3, 3), "float32")))
    np.testing.assert_array_equal(y, np.broadcast_to([[0], [1], [2]], (2, 3, 3)))
