"""AxisAttention against plain numpy."""

import keras
import numpy as np
import pytest
from backends import jacobian, to_numpy, values

from mdnn.layers import AxisAttention
from mdnn.layers.mixing.axis_attention import rotate

RNG = np.random.default_rng(0)
CASES = [  # input shape, axis, heads, rotary
    ((2, 5, 4), 1, 1, False),
    ((2, 5, 8), 1, 2, True),
    ((2, 3, 4, 8), -2, 4, True),
    ((2, 3, 4, 6), 1, 2, False),
    ((2, 2, 3, 2, 4), 2, 2, True),
]


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def make(shape, *args, **kwargs):
    """A layer with weights that are neither zero nor equal."""
    layer = AxisAttention(*args, **kwargs)
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(normal(*weight.shape) / 2)
    return layer


def numpy_rotate(x):
    """Equation 34 of RoFormer, written with complex numbers: halves are parts of one number."""
    n, size = x.shape
    z = x[:, : size // 2] + 1j * x[:, size // 2 :]
    theta = 10_000.0 ** (-2 * np.arange(size // 2) / size)
    z = z * np.exp(1j * np.arange(n)[:, None] * theta)
    return np.concatenate([z.real, z.imag], axis=-1)


def numpy_sequence(x, layer, causal, rotary):
    """Attention over one sequence `[n, channels]`, a query at a time."""
    dense = [
        (to_numpy(d.kernel), to_numpy(d.bias) if layer.use_bias else 0)
        for d in (layer.query, layer.key, layer.value, layer.result)
    ]
    q, k, v = (x @ kernel + bias for kernel, bias in dense[:3])
    h = x.shape[-1] // layer.heads
    y = np.zeros_like(x)
    for head in range(layer.heads):
        part = slice(head * h, (head + 1) * h)
        qs, ks = (numpy_rotate(a[:, part]) if rotary else a[:, part] for a in (q, k))
        for j in range(len(x)):
            seen = slice(0, j + 1) if causal else slice(None)
            score = ks[seen] @ qs[j] / np.sqrt(h)
            weight = np.exp(score - score.max())
            y[j, part] = weight / weight.sum() @ v[seen, part]
    return y @ dense[3][0] + dense[3][1]


def numpy_attention(x, layer, axis, causal, rotary):
    x = np.moveaxis(x, axis, -2)
    y = np.stack([numpy_sequence(s, layer, causal, rotary) for s in x.reshape(-1, *x.shape[-2:])])
    return np.moveaxis(y.reshape(x.shape), -2, axis)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("shape", "axis", "heads", "rotary"), CASES)
def test_values(shape, axis, heads, rotary, causal):
    wiring = "causal" if causal else "full"
    layer = make(shape, axis, heads, wiring=wiring, rotary=rotary, use_bias=causal)
    x = normal(*shape)
    expected = numpy_attention(x, layer, axis, causal, rotary)
    np.testing.assert_allclose(values(layer, x), expected, rtol=1e-4, atol=1e-5)


def test_causal_at_call_time():
    shape = (2, 3, 5, 4)
    x = normal(*shape)
    full, causal = make(shape, 2, 2), make(shape, 2, 2, wiring="causal")
    causal.set_weights(full.get_weights())
    np.testing.assert_array_equal(to_numpy(full(x, causal=True)), to_numpy(causal(x)))
    np.testing.assert_array_equal(to_numpy(causal(x, causal=False)), to_numpy(full(x)))
    assert not np.allclose(to_numpy(full(x)), to_numpy(causal(x)))


@pytest.mark.parametrize("axis", [1, 2])
def test_reach(axis):
    """Every position before on the axis, exactly none after it, nothing of the other axis."""
    layer = make((1, 3, 4, 4), axis, 2, wiring="causal", rotary=True)
    reach = jacobian(layer, normal(3, 4, 4)).reshape(3, 4, 4, 3, 4, 4)
    reach = abs(reach).sum(axis=(2, 5))  # [j1, j2, i1, i2]
    for j in np.ndindex(3, 4):
        for i in np.ndindex(3, 4):
            on_line = i[2 - axis] == j[2 - axis]
            expected = on_line and i[axis - 1] <= j[axis - 1]
            assert (reach[j + i] > 1e-6) == expected
            assert expected or reach[j + i] == 0


def test_rotary_knows_distances_only():
    """A product of q and k depends on how far apart they are (equation 16), and their channels."""
    q, k = (to_numpy(rotate(np.tile(normal(1, 6), (9, 1)))) for _ in range(2))
    products = q @ k.T
    for distance in range(-8, 9):
        line = np.diagonal(products, distance)
        np.testing.assert_allclose(line, line[0], rtol=1e-4, atol=1e-5)
    assert np.ptp(products) > 0.1
    np.testing.assert_allclose(np.linalg.norm(q, axis=-1), np.linalg.norm(q[0]), rtol=1e-5)


def test_without_rotary_full_attention_does_not_know_the_order():
    shape = (1, 5, 4)
    x = normal(*shape)
    turned = x[:, ::-1]
    plain, rotary = make(shape, 1, 2), make(shape, 1, 2, rotary=True)
    np.testing.assert_allclose(
        to_numpy(plain(turned)), to_numpy(plain(x))[:, ::-1], rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(to_numpy(rotary(turned)), to_numpy(rotary(x))[:, ::-1], atol=1e-3)


def test_rotary_in_half_precision_tells_far_positions_apart():
    x = keras.ops.ones((3000, 4), "float16")
    turned = to_numpy(rotate(x))
    exact = numpy_rotate(np.ones((3000, 4)))
    np.testing.assert_allclose(turned, exact, atol=2e-3)


def test_dropout():
    shape = (4, 6, 4)
    x = normal(*shape)
    layer = make(shape, 1, 2, dropout=0.5, seed=1)
    still = values(layer, x)
    np.testing.assert_array_equal(to_numpy(layer(x, training=False)), still)
    first, second = (to_numpy(layer(x, training=True)) for _ in range(2))
    assert not np.allclose(first, still)
    assert not np.allclose(first, second)
    again = make(shape, 1, 2, dropout=0.5, seed=1)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(again(x, training=True)), first)
    # Unscaled, the dropped half would be missing from the sum.
    many = make((1000, *shape[1:]), 1, 2, dropout=0.5, seed=2)
    many.set_weights(layer.get_weights())
    mean = to_numpy(many(np.repeat(x[:1], 1000, axis=0), training=True)).mean(axis=0)
    np.testing.assert_allclose(mean, still[0], atol=0.1)


def test_projections_start_apart():
    layer = AxisAttention(1, 2, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    layer.build((None, 5, 4))
    kernels = [to_numpy(weight) for weight in layer.weights]
    assert len(kernels) == 4
    for a in range(4):
        for b in range(a):
            assert not np.array_equal(kernels[a], kernels[b])
    again = AxisAttention.from_config(layer.get_config())
    again.build((None, 5, 4))
    for a, b in zip(layer.weights, again.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_operations():
    layer = AxisAttention(2, 2)
    # 3 · 5 positions of 8 channels: four projections, then scores and sums over 5 positions each.
    assert layer.operations((None, 3, 5, 8)) == 15 * 8 * 8 * 4 + 15 * 8 * 5 * 2
    assert type(layer.operations((None, 3, 5, 8))) is int
    with pytest.raises(ValueError, match="sizes but the batch's to be known"):
        layer.operations((None, None, 5, 8))


def test_unknown_sizes():
    x = keras.Input((None, None, 4))
    layer = AxisAttention(1, 2, wiring="causal", rotary=True)
    model = keras.Model(x, layer(x))
    assert model.output_shape == (None, None, None, 4)
    for shape in [(1, 2, 3, 4), (2, 4, 1, 4)]:
        x = normal(*shape)
        expected = numpy_attention(x, layer, 1, True, True)
        np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 3, 5, 4)])
def test_other_sizes_than_built_for(shape):
    layer = AxisAttention(1, 2)
    layer.build((None, 5, 4))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(normal(*shape))


@pytest.mark.parametrize(
    ("kwargs", "shape", "message"),
    [
        ({"axis": 1, "heads": 3}, (None, 5, 8), "multiple of its 3 heads"),
        ({"axis": 1, "heads": 2}, (None, 5, None), "multiple of its 2 heads"),
        ({"axis": 2, "heads": 2}, (None, 5, 8), "other than the last"),
        ({"axis": -1, "heads": 2}, (None, 5, 8), "other than the last"),
        ({"axis": 0, "heads": 2}, (None, 5, 8), "other than the batch axis"),
        ({"axis": 3, "heads": 2}, (None, 5, 8), "`axis` in"),
        ({"axis": 1, "heads": 8, "rotary": True}, (None, 5, 8), "even number of channels per"),
        ({"axis": 1, "heads": 0}, None, "`heads` to be a positive integer. Received: 0"),
        ({"axis": 1, "heads": True}, None, "`heads` to be a positive integer. Received: True"),
        (
            {"axis": 1, "heads": 2, "wiring": "shift"},
            None,
            "one of full, causal. Received: 'shift'",
        ),
        ({"axis": 1, "heads": 2, "dropout": 1.0}, None, r"`dropout` in \[0, 1\). Received: 1.0"),
        ({"axis": 1, "heads": 2, "dropout": "a"}, None, "`dropout` to be a number. Received: 'a'"),
    ],
)
def test_errors(kwargs, shape, message):
    with pytest.raises(ValueError, match=message):
        AxisAttention(**kwargs).build(shape)
