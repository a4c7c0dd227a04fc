"""`KeyedSum`: its values by their formula, position by position, and what it recalls untrained."""

import numpy as np
import pytest
from keras import ops

from mdnn.layers.mixing.gated_values import EPSILON, FORGET_BIAS
from mdnn.layers.mixing.keyed_sum import KeyedSum


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_formula(layer, x, causal):
    """The output for `x` of shape `[rows, n, channels]`, a sum over all pairs of positions."""
    rows, n, width = x.shape
    heads, h = layer.heads, width // layer.heads
    kernels = {
        name: np.asarray(getattr(layer, name).kernel) for name in ("query", "value", "result")
    }
    flat = x.reshape(rows * n, width)

    def split(kernel):
        return (flat @ kernel).reshape(rows * n, heads, -1)

    q, v = softmax(layer.sharpness * split(kernels["query"])), split(kernels["value"])
    gates = np.ones((rows * n, heads))
    if layer.write_gate:
        logits = flat @ np.asarray(layer.write.kernel) + np.asarray(layer.write.bias)
        gates = 1 / (1 + np.exp(-logits))
    kept = np.ones((rows * n, heads))
    if layer.forget_gate and causal:
        logits = flat @ np.asarray(layer.forget.kernel) + np.asarray(layer.forget.bias)
        kept = 1 / (1 + np.exp(-logits - FORGET_BIAS))
    if layer.match == "previous":
        k = np.concatenate([np.zeros_like(q[:1]), q[:-1]])
        k[::n] = 0.0
    else:
        k = softmax(layer.sharpness * split(np.asarray(layer.key.kernel)))
    y = np.zeros((rows * n, heads, h))
    for t in range(rows * n):
        for head in range(heads):
            weights = np.array([q[t, head] @ k[s, head] * gates[s, head] for s in range(rows * n)])
            if causal:
                weights[t + 1 :] = 0.0
                weights *= [kept[s + 1 : t + 1, head].prod() for s in range(rows * n)]
            y[t, head] = weights @ v[:, head] / (weights.sum() + EPSILON)
    return (y.reshape(rows * n, width) @ kernels["result"]).reshape(x.shape)


@pytest.mark.parametrize("match", ["own", "previous"])
@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize(("wiring", "gate"), [("causal", False), ("causal", True), ("full", True)])
def test_it_is_the_formula(match, wiring, gate, forget):
    words = {"wiring": wiring, "match": match, "write_gate": gate, "forget_gate": forget}
    layer = KeyedSum([1, 2], heads=2, sharpness=2.0, features=5, **words)
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 6)).astype("float32")
    layer.build(x.shape)
    if gate:
        layer.write.bias.assign([-2.0, 1.0])
    if forget:
        layer.forget.bias.assign([-6.0, -4.0])
    found = ops.convert_to_numpy(layer(x))[0]
    np.testing.assert_allclose(found, by_formula(layer, x[0], wiring == "causal"), atol=1e-5)


def test_previous_keys_recall_untrained():
    """What followed a vector comes back where the vector stands again: most of it, by any draw."""
    rng = np.random.default_rng(2)
    keys, values = (rng.normal(size=(16, 64)).astype("float32") for _ in range(2))
    pairs = np.stack([keys, values], 1).reshape(32, 64)
    x = np.concatenate([pairs, keys[::-1]]).reshape(1, 3, 16, 64)
    layer = KeyedSum([1, 2], features=256, sharpness=8.0, match="previous")
    layer.build(x.shape)
    eye = np.eye(64, dtype="float32")
    layer.value.kernel.assign(eye)
    layer.result.kernel.assign(eye)
    found = ops.convert_to_numpy(layer(x)).reshape(48, 64)[32:][::-1]
    assert (np.argmax(found @ values.T, axis=1) == np.arange(16)).mean() > 0.9


@pytest.mark.parametrize(
    ("features", "sharpness", "share"), [(64, 4.0, 0.05), (512, 4.0, 0.25), (1024, 8.0, 0.9)]
)
def test_the_weight_of_one_key_among_512_untrained(features, sharpness, share):
    """The figures of docs/recall.md: the weight of the right one by that of all others."""
    layer = KeyedSum([1, 2], features=features, sharpness=sharpness, match="previous")
    layer.build((1, 1, 512, 64))
    x = np.random.default_rng(4).normal(size=(512, 64)).astype("float32")
    q = ops.convert_to_numpy(layer.features(layer.query(x)))
    weights = q @ q.T
    own = np.diag(weights)
    assert own.mean() / (weights.sum(1) - own).mean() == pytest.approx(share, rel=0.25)


def test_a_closed_gate_writes_nothing():
    layer = KeyedSum([1], heads=2, write_gate=True)
    x = np.random.default_rng(5).normal(size=(2, 6, 8)).astype("float32")
    layer.build(x.shape)
    layer.write.bias.assign([-100.0, -100.0])
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), 0.0)


def test_a_position_that_keeps_nothing_begins_anew():
    """What follows it is what stands there without all that was before, in any row."""
    layer = KeyedSum([1, 2], heads=2, forget_gate=True)
    x = np.random.default_rng(6).normal(size=(1, 80, 3, 8)).astype("float32")
    layer.build(x.shape)
    # The first channel closes the gate.
    layer.forget.kernel.assign(np.array([[-1e4, -1e4]] + [[0.0, 0.0]] * 7))
    x[..., 0], x[0, 70, 1, 0] = 0.0, 1.0
    whole = ops.convert_to_numpy(layer(x)).reshape(240, 8)
    apart = KeyedSum([1], heads=2, forget_gate=True)
    apart.build((1, 29, 8))
    for old, new in zip(layer.weights, apart.weights, strict=True):
        new.assign(old)
    found = ops.convert_to_numpy(apart(x.reshape(1, 240, 8)[:, 211:]))[0]
    np.testing.assert_allclose(found, whole[211:], atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"features": -1}, "`features` to be a positive integer or 0. Received: -1"),
        ({"match": "next"}, "`match` to be one of own, previous. Received: 'next'"),
    ],
)
def test_what_it_refuses(words, message):
    with pytest.raises(ValueError, match=message):
        KeyedSum([1], **words)
