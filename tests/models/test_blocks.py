"""The branches of a block: against numpy, and through the checks of every layer."""

from functools import partial

import numpy as np
import pytest
from backends import to_numpy, values
from layer_checks import CHECKS, Case, check_export
from networks import randomize

from mdnn.layers.mixing import make_mixer
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.call_options import CAUSAL


def mixer(**table):
    return make_mixer(table)


CASES = {
    "mix": Case(
        partial(
            MixingBlock, [mixer(wiring="causal+shift", groups=2)], gate="silu", bias=True, scale=0.5
        ),
        (3, 4),
    ),
    "mix, stacked": Case(
        partial(
            MixingBlock,
            [mixer(sharing="separate"), mixer(axes=(-1,), sharing="shared", wiring="full")],
            stack=2,
            times=2,
            activation="partial(melu, 0.5)",
            project=False,
            norm="layer",
            residual="post",
        ),
        (2, 2, 4),
    ),
    "mix, other kinds": Case(
        partial(
            MixingBlock,
            [
                mixer(kind="attention", heads=2),
                mixer(kind="conv", window=1),
                mixer(kind="local", window=1, groups=2),
            ],
            norm="none",
            residual="none",
            dropout=0.1,
        ),
        (3, 4),
        call={"options": CAUSAL},
    ),
    "feedforward": Case(
        partial(FeedForwardBlock, 6, gate="gelu", dropout=0.2, norm="layer"), (3, 4)
    ),
}


# Networks of branches are exported by the tests of serving.
@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check is not check_export], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("name", CASES)
def test_check(name, check, tmp_path):
    check(CASES[name], tmp_path)


def normal(*shape):
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def make(cls, shape, *args, **kwargs):
    """A built branch with random weights, and its weights by the ends of their paths."""
    branch = cls(*args, **kwargs)
    branch.build(shape)
    randomize(branch)
    return branch, {w.path.split("/", 1)[1]: to_numpy(w) for w in branch.weights}


def normed(x, norm, weights):
    x = x.astype("float64")
    if norm == "none":
        return x
    if norm == "rms":
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weights["norm/scale"]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * weights["norm/gamma"] + weights["norm/beta"]


def silu(x):
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("norm", ["rms", "layer", "none"])
@pytest.mark.parametrize("residual", ["pre", "post", "none"])
def test_norm_and_residual(norm, residual):
    x = normal(2, 3, 4)
    branch, w = make(LinearBlock, x.shape, "tanh", bias=True, norm=norm, residual=residual)

    def f(h):
        return np.tanh(h @ w["dense/kernel"] + w["dense/bias"])

    expected = {
        "pre": lambda: x + f(normed(x, norm, w)),
        "post": lambda: normed(x + f(x), norm, w),
        "none": lambda: f(normed(x, norm, w)),
    }[residual]()
    np.testing.assert_allclose(values(branch, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_feedforward(bias):
    x = normal(2, 3, 4)
    plain, w = make(FeedForwardBlock, x.shape, 6, activation="silu", norm="none", bias=bias)
    assert w["dense_in/kernel"].shape == (4, 6)
    inner = silu(x @ w["dense_in/kernel"] + (w["dense_in/bias"] if bias else 0))
    expected = x + inner @ w["dense_out/kernel"] + (w["dense_out/bias"] if bias else 0)
    np.testing.assert_allclose(values(plain, x), expected, rtol=1e-4, atol=1e-5)

    gated, w = make(FeedForwardBlock, x.shape, 6, gate="silu", norm="none")
    assert set(w) == {"dense_in/kernel", "dense_out/kernel"}
    u, v = np.split(x @ w["dense_in/kernel"], 2, axis=-1)
    expected = x + (silu(u) * v) @ w["dense_out/kernel"]
    np.testing.assert_allclose(values(gated, x), expected, rtol=1e-4, atol=1e-5)


def mixed(x, kernel):
    """Causal mixing of one axis with one kernel, one position at a time."""
    y = np.zeros(x.shape)
    for j in range(x.shape[1]):
        for i in range(j + 1):
            y[:, j] += x[:, i] * kernel[i, j]
    return y


SHARED = mixer(sharing="shared")


def test_gated_mix():
    x = normal(2, 3, 4)
    branch, w = make(
        MixingBlock, x.shape, [SHARED], gate="silu", activation="tanh", norm="none", bias=True
    )
    u, v = np.split(x @ w["dense_in/kernel"] + w["dense_in/bias"], 2, axis=-1)
    # The gate takes the activation's place.
    inner = silu(u) * mixed(v, w["mixer_0_0/kernel_axis_1_term_0"])
    expected = x + inner @ w["dense_out/kernel"] + w["dense_out/bias"]
    np.testing.assert_allclose(values(branch, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", ["none", "silu"])
def test_side_by_side_stacked_and_times(gate):
    x = normal(2, 3, 4)
    branch, w = make(
        MixingBlock,
        x.shape,
        [SHARED, SHARED],
        stack=2,
        times=2,
        gate=gate,
        activation="tanh",
        norm="none",
    )
    h = x @ w["dense_in/kernel"]
    if gate == "silu":
        u, h = np.split(h, 2, axis=-1)
    for s in range(2):
        for t in range(2):
            h = sum(mixed(h, w[f"mixer_{s}_{k}/kernel_axis_1_term_0"]) for k in range(2))
            if gate == "none" or (s, t) != (1, 1):
                h = np.tanh(h)
    if gate == "silu":
        h = silu(u) * h
    expected = x + h @ w["dense_out/kernel"]
    np.testing.assert_allclose(values(branch, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "spec",
    [
        mixer(groups=2, wiring="causal+shift"),
        mixer(sharing="separate"),
        mixer(kind="attention", heads=2),
        mixer(kind="conv", window=1),
        mixer(kind="local", window=2, groups=2),
        mixer(kind="local", window=2, sharing="separate"),
    ],
    ids=str,
)
def test_times_applies_the_same_mixer_again(spec):
    x = normal(2, 3, 4)
    kwargs = {"project": False, "norm": "none", "residual": "none"}
    once, _ = make(MixingBlock, x.shape, [spec], **kwargs)
    twice, _ = make(MixingBlock, x.shape, [spec], times=2, **kwargs)
    assert once.count_params() == twice.count_params() > 0
    twice.set_weights(once.get_weights())
    expected = values(lambda x: once(once(x)), x)
    np.testing.assert_allclose(values(twice, x), expected, rtol=1e-4, atol=1e-5)
    assert abs(values(once, x) - expected).max() > 0.01


def test_mixers_have_the_kernels_that_sharing_says():
    def kernels(shape, **kwargs):
        _, w = make(MixingBlock, shape, [mixer(**kwargs)], project=False, norm="none")
        return [tuple(kernel.shape) for kernel in w.values()]

    assert kernels((None, 3, 8), groups=4) == [(4, 3, 3)]
    assert kernels((None, 3, 8), groups=1) == [(3, 3)]
    assert kernels((None, 3, 8), groups=4, wiring="causal+shift") == [(4, 5)]
    assert kernels((None, 3, 8), sharing="separate") == [(8, 3, 3)]
    assert kernels((None, 3, 3, 8), sharing="tied") == [(3, 3)]
    assert kernels((None, 2, 3, 8), groups=4) == [(4, 3, 3), (4, 2, 2), (4, 3, 3)]
    assert kernels((None, 2, 3, 8), axes=(-1,), sharing="separate", wiring="full") == [(2, 3, 8, 8)]
    assert kernels((None, 3, 8), kind="local", window=1, groups=4) == [(4, 3, 3)]
    assert kernels((None, 3, 8), kind="local", window=1, sharing="separate") == [(8, 3, 3)]
    assert kernels((None, 3, 8), kind="local", window=1, sharing="shared", groups=4) == [(3, 3)]
    assert kernels((None, 3, 8), kind="conv", window=1) == [(2, 8)]


def test_start_is_the_kernels_deviation():
    branch = MixingBlock([mixer(init_std=0.02, groups=2)], project=False)
    branch.build((None, 40, 8))
    assert 0.019 < to_numpy(branch.weights[-1]).std() < 0.021


def test_scale_is_on_the_last_dense_alone():
    branches = [FeedForwardBlock(400, scale=scale, norm="none") for scale in (1.0, 0.25)]
    for branch in branches:
        branch.build((None, 3, 100))
    whole, part = (
        [to_numpy(dense.kernel).std() for dense in (b.dense_in, b.dense_out)] for b in branches
    )
    np.testing.assert_allclose(whole, [0.1, 0.05], rtol=0.05)
    np.testing.assert_allclose(part, [0.1, 0.0125], rtol=0.05)


def test_dropout_only_in_training():
    x = normal(2, 3, 64)
    branch, _ = make(LinearBlock, x.shape, dropout=0.5, norm="none", residual="none")
    kept = to_numpy(branch(x))
    dropped = to_numpy(branch(x, training=True))
    assert 0.3 < (dropped == 0).mean() < 0.7
    np.testing.assert_allclose(dropped[dropped != 0], 2 * kept[dropped != 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("branch", "shape", "message"),
    [
        (partial(LinearBlock, "silou"), (None, 3, 4), "Unknown activation 'silou'"),
        (partial(LinearBlock, "sort2"), (None, 3, 5), "Expected an even last axis for `sort2`"),
        (partial(LinearBlock, "glu"), (None, 3, 4), "activation 'glu' does not keep a width of 4"),
        (partial(FeedForwardBlock, 6, "glu"), (None, 3, 4), "'glu' does not keep a width of 6"),
        (partial(FeedForwardBlock, 5, activation="sort2"), (None, 3, 4), "Expected an even last"),
        (
            partial(MixingBlock, [SHARED], gate="glu"),
            (None, 3, 4),
            "'glu' does not keep a width of 4",
        ),
        (
            partial(MixingBlock, [SHARED], activation="sort2", project=False),
            (None, 3, 5),
            "Expected an even last axis for `sort2`",
        ),
    ],
)
def test_an_activation_that_does_not_fit_is_refused_at_once(branch, shape, message):
    with pytest.raises(ValueError, match=message):
        branch().build(shape)
