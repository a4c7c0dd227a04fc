"""Folds: against numpy, with additions given, and through the checks of every layer."""

import numpy as np
import pytest
from backends import to_numpy, values
from layer_checks import CHECKS, Case
from networks import randomize

from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.call_options import CAUSAL, CallOptions

OVER_ROWS = {"sharing": "shared"}


def fold(width, **options):
    """A function that makes a fold with a mixing and a feed-forward branch."""

    def make(**kwargs):
        dtype = kwargs.get("dtype")
        branches = [
            MixingBlock([OVER_ROWS], name="mix", dtype=dtype),
            FeedForwardBlock(3, activation="silu", name="feed", dtype=dtype),
        ]
        return RowBottleneck(width, branches, **options, **kwargs)

    return make


CASES = {
    "whole": Case(fold(5, causal=False, bias=True, dropout=0.1), (2, 2, 3, 4)),
    "scaled": Case(
        fold(3, scale=0.5, norm="layer", residual="post"),
        (2, 2, 3, 4),
        call={"options": CallOptions(causal=False)},
    ),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", CASES)
def test_check(name, check, tmp_path):
    check(CASES[name], tmp_path)


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def make(shape, *branches, width=5, **kwargs):
    """A built fold with random weights, and its weights by the ends of their paths."""
    layer = RowBottleneck(width, branches, **kwargs)
    layer.build((None, *shape[1:]))
    randomize(layer)
    return layer, {w.path.split("/", 1)[1]: to_numpy(w) for w in layer.weights}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_rows_one_after_another(causal, bias):
    x = normal(2, 2, 3, 4, 2)
    layer, w = make(x.shape, LinearBlock("tanh", norm="none", name="inner"), norm="none", bias=bias)
    assert w["dense_in/kernel"].shape == (8, 5)
    assert w["dense_out/kernel"].shape == (5, 8)

    def shift(name):
        return w[f"{name}/bias"] if bias else 0

    expected = np.zeros_like(x)
    for b in range(2):
        before = np.zeros(5)
        for r in range(6):
            u = x[b].reshape(6, 8)[r] @ w["dense_in/kernel"] + shift("dense_in")
            # The inner branch has no bias of its own.
            u = u + np.tanh(u @ w["inner/dense/kernel"])
            v = before @ w["from_before/kernel"]
            if not causal:
                v = v + u @ w["from_itself/kernel"]
            y = v @ w["dense_out/kernel"] + shift("dense_out")
            expected[b].reshape(6, 4, 2)[r] = x[b].reshape(6, 4, 2)[r] + y.reshape(4, 2)
            before = u
    found = values(lambda x: layer(x, options=CallOptions(causal)), x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # A call that is not told is as the layer was made.
    layer.causal = causal
    np.testing.assert_array_equal(values(layer, x), found)


def test_inner_branches_are_told_how():
    x = normal(1, 3, 2, 2)
    layer, _ = make(x.shape, MixingBlock([OVER_ROWS]), norm="none")
    changed = x.copy()
    changed[:, 2] += 1

    def moved(causal):
        before, after = (
            values(lambda x: layer.fold(x, CallOptions(causal)), y) for y in (x, changed)
        )
        return (before != after).any(axis=(0, 2, 3)).tolist()

    assert moved(causal=True) == [False, False, False]
    # The last row reaches the second by the inner mixer, the first by nothing but itself.
    assert moved(causal=False) == [True, True, True]


@pytest.mark.parametrize("residual", ["pre", "post", "none"])
def test_an_addition_given(residual):
    """`fold` is what `call` adds; given, it is added to rows alone as to all of them."""
    x = normal(2, 3, 4, 2)
    layer, _ = make(x.shape, LinearBlock(), residual=residual, norm="layer")
    added = values(lambda x: layer.fold(x, CAUSAL), x)
    whole = values(lambda x: layer(x, options=CAUSAL), x)
    given = values(lambda x, y: layer(x, folded=y), x, added)
    np.testing.assert_allclose(given, whole, rtol=1e-5, atol=1e-5)
    for row in range(3):
        here = slice(row, row + 1)
        alone = values(lambda x, y: layer(x, folded=y), x[:, here], added[:, here])
        np.testing.assert_allclose(alone, whole[:, here], rtol=1e-5, atol=1e-5)
    other = values(lambda x, y: layer(x, folded=y), x, added + 1)
    if residual != "post":
        np.testing.assert_allclose(other, whole + 1, rtol=1e-5, atol=1e-5)


def test_dropout_only_in_training():
    x = normal(2, 3, 8, 4)
    layer, _ = make(x.shape, dropout=0.5, norm="none", residual="none", causal=False)
    kept = values(layer, x)
    dropped = to_numpy(layer(x, training=True))
    assert 0.2 < (dropped == 0).mean() < 0.8
    np.testing.assert_allclose(dropped[dropped != 0], 2 * kept[dropped != 0], rtol=1e-3)


def test_scale_is_on_the_last_dense_alone():
    layer = RowBottleneck(400, [], scale=0.25, norm="none")
    layer.build((None, 2, 10, 10))
    deviations = {
        dense.name: to_numpy(dense.kernel).std()
        for dense in (layer.dense_in, layer.from_before, layer.from_itself, layer.dense_out)
    }
    expected = {"dense_in": 0.1, "from_before": 0.05, "from_itself": 0.05, "dense_out": 0.0125}
    assert deviations == pytest.approx(expected, rel=0.05)


def test_operations():
    """2 x 3 rows of 4 positions with 2 channels, folded into 5."""
    inner = 6 * 5 * 5
    shape = (None, 2, 3, 4, 2)
    causal, _ = make(shape, LinearBlock())
    assert causal.operations(shape) == 6 * (8 * 5 + 5 * 5 + 5 * 8) + inner
    whole, _ = make(shape, LinearBlock(), causal=False)
    assert whole.operations(shape) == 6 * (8 * 5 + 2 * 5 * 5 + 5 * 8) + inner
    # norm, sum, and the rows spread; rows folded, multiplied, added; inside norm, dense and sum
    assert causal.values(shape) == 3 * 48 + 6 * 5 * 3 + 3 * 6 * 5


def test_one_axis_is_refused():
    with pytest.raises(ValueError, match="Expected at least two context axes in the input of"):
        RowBottleneck(4, []).build((None, 4, 2))
