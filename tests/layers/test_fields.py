"""Fields of puzzles, and means along axes: no symbol and no place is better than another."""

import numpy as np
import pytest
from backends import to_numpy, values
from layer_checks import CHECKS, Case
from networks import randomize

from mdnn.layers import AxisMean, FieldEmbedding, FieldHeads
from mdnn.tokens.symbols import to_tokens


def test_what_a_field_knows():
    layer = FieldEmbedding(3, fields=2)
    tokens = to_tokens(np.array([[0, 1, 2]], dtype="uint8"), (3,))
    found = to_numpy(layer(tokens)).reshape(2, 3, 3)
    unknown, this, other = to_numpy(layer.table)
    np.testing.assert_array_equal(found[0], [unknown, this, other])
    np.testing.assert_array_equal(found[1], [unknown, other, this])
    with pytest.raises(ValueError, match=r"expected tokens \[batch, positions, 8\]"):
        FieldEmbedding(3, fields=2).build((None, 3, 5))


def test_scores_come_from_their_fields():
    layer = FieldHeads(3)
    hidden = np.random.default_rng(1).normal(size=(2, 3 * 4, 5)).astype("float32")
    layer.build(hidden.shape)
    scores = values(layer, hidden)
    kernel = to_numpy(layer.kernel)
    assert scores.shape == (2, 4, 32)
    expected = (hidden.reshape(2, 3, 4, 5) @ kernel).transpose(0, 2, 1)
    np.testing.assert_allclose(scores[..., 1:4], expected, rtol=1e-4, atol=1e-5)
    assert (scores[..., 0] == -1e9).all()
    assert (scores[..., 4:] == -1e9).all()


def test_means():
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype("float32")
    found = values(AxisMean([1, -2]), x)
    expected = np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="to exclude the last, which holds the channels"):
        AxisMean([3]).build((None, 3, 4, 5))
    with pytest.raises(ValueError, match=r"depends on all positions\. Received: causal=True"):
        AxisMean([1])(x, causal=True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_check_mean(check, tmp_path):
    check(Case(lambda **kwargs: AxisMean([1], **kwargs), (3, 4)), tmp_path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_check_heads(check, tmp_path):
    check(Case(lambda **kwargs: FieldHeads(3, **kwargs), (6, 4), float_dtype="float32"), tmp_path)


def test_digits_are_renamed_with_their_puzzle(tmp_path):
    """With means over the digits a network answers a renamed puzzle with renamed scores."""
    import mdnn
    from mdnn.config.load import Config

    config = Config.from_dict(
        {
            "data": {"source": "sudoku-4x4"},
            "tokens": {"modalities": ["symbol"], "candidates": 4},
            "context": {"layout": "puzzle", "grid": [4, 4]},
            "backbone": {
                "width": 8,
                "depth": 1,
                "layer": [
                    {"gate": "silu", "mixer": [{"kind": "mean", "axes": [1]}]},
                    {"gate": "silu", "mixer": [{"wiring": "full", "axes": [2, 3]}]},
                ],
            },
            "train": {"steps": 1, "objectives": {"autoregressive": 0.0, "parallel": 1.0}},
        }
    )
    model = randomize(mdnn.build(config))
    puzzle = np.random.default_rng(3).integers(0, 5, size=(1, 16)).astype("uint8")
    renamed = np.array([0, 3, 1, 4, 2])
    one, other = (
        to_numpy(model({"tokens": to_tokens(p, (4, 4)), "targets": None}))
        for p in (puzzle, renamed[puzzle])
    )
    np.testing.assert_allclose(other[..., renamed[1:]], one[..., 1:5], rtol=1e-3, atol=1e-4)
    assert abs(one[..., 1] - one[..., 2]).max() > 1e-3
