"""The same network in other ways: wiring, refeeds, parts, rows."""

import keras
import numpy as np
import pytest
from backends import jacobian, to_numpy, values
from keras import ops
from networks import make_config, mix, randomize, text_tokens

from mdnn import MdnnError, build
from mdnn.models.variants import Parts, variant

FOLD = {
    "kind": "fold",
    "width": 6,
    "depth": 2,
    "block": [
        {"kind": "mix", "gate": "silu", "mixer": [{"groups": 2}]},
        {"kind": "feedforward", "gate": "silu"},
    ],
}
ROWS = mix({"axes": [2]}, gate="silu")
FEED = {"kind": "feedforward", "gate": "silu"}
GRID = (3, 2)
SLOTS = 6


def network(*branches, **options):
    return randomize(build(make_config(*branches, **{"grid": GRID, **options})))


def scores(model, tokens, targets=None):
    targets = tokens if targets is None else targets
    return values(lambda t, u: model({"tokens": t, "targets": u}), tokens, targets)


def connected(model, causal, refeeds=None):
    """Which slot of the embedded context reaches which slot's state: booleans `[from, to]`."""
    parts = Parts(model)
    x = np.random.default_rng(1).normal(size=(*parts.grid, parts.width)).astype("float32")
    found = jacobian(lambda x: parts.backbone(x, causal, refeeds), x)
    slots = np.prod(parts.grid)
    return (found.reshape(slots, parts.width, slots, parts.width) != 0).any(axis=(1, 3)).T


NETWORKS = {
    "fold": [FOLD, ROWS],
    "mix": [mix({"wiring": "causal+shift", "groups": 2}), FEED],
    "attention": [FOLD, mix({"kind": "attention", "heads": 2, "axes": [2]})],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_jacobian_both_ways(name):
    model = network(*NETWORKS[name])
    np.testing.assert_array_equal(connected(model, causal=True), np.triu(np.ones((6, 6), bool)))
    assert connected(model, causal=False).all()


def test_a_fold_reaches_whole_rows_before():
    """By itself: nothing of its own row, every slot of all rows before."""
    fold = {**FOLD, "residual": "none", "block": [{**FOLD["block"][0], "residual": "none"}]}
    found = connected(network(fold, grid=(2, 2, 2)), causal=True)
    rows = np.arange(8) // 2
    np.testing.assert_array_equal(found, rows[:, None] < rows[None, :])


@pytest.mark.parametrize("refeed", [{}, {"steps": 2, "start": "learned"}], ids=str)
def test_weights_are_shared(refeed):
    model = network(FOLD, ROWS, refeed=refeed)
    tokens = text_tokens((2, SLOTS))
    expected = scores(model, tokens)
    for causal in (True, False):
        other = variant(model, causal)
        assert [id(w) for w in other.weights] == [id(w) for w in model.weights]
        found = scores(other, tokens)
        assert found.shape == expected.shape
        # The network as built writes in turn.
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-4) == causal


def test_targets_are_optional():
    model = network(FOLD, ROWS)
    tokens = text_tokens((2, SLOTS))
    other = variant(model, causal=True)
    assert list(other.input) == list(model.input)
    for tensor in other.input.values():
        assert (tensor.shape, tensor.dtype) == ((None, SLOTS, 8), "int32")
    expected = values(lambda t: model({"tokens": t, "targets": None}), tokens)
    found = values(lambda t: other({"tokens": t, "targets": None}), tokens)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", ["zeros", "learned"])
def test_other_refeeds(start):
    def network_of(steps):
        return randomize(
            build(make_config(FOLD, ROWS, grid=GRID, refeed={"steps": steps, "start": start}))
        )

    tokens = text_tokens((2, SLOTS))
    once, thrice = network_of(1), network_of(3)
    found = scores(variant(once, causal=True, refeeds=3), tokens)
    np.testing.assert_allclose(found, scores(thrice, tokens), rtol=1e-3, atol=1e-3)
    back = scores(variant(thrice, causal=True, refeeds=1), tokens)
    np.testing.assert_allclose(back, scores(once, tokens), rtol=1e-3, atol=1e-3)
    refed = variant(once, causal=True, refeeds=3)
    assert [id(w) for w in refed.weights] == [id(w) for w in once.weights]
    assert abs(found - back).max() > 0.1


def test_built_whole_where_writing_in_turn_is_not_trained():
    train = {"steps": 1, "objectives": {"turn": 0, "once": 1}}
    model = network(FOLD, mix({"axes": [2], "wiring": "full"}), train=train)
    tokens = text_tokens((2, SLOTS))
    expected = scores(model, tokens)
    np.testing.assert_allclose(
        scores(variant(model, causal=False), tokens), expected, rtol=1e-4, atol=1e-4
    )
    with pytest.raises(MdnnError, match="this network cannot write in turn: it has mixers"):
        variant(model, causal=True)


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        (mix({"wiring": "shift"}), False),
        (mix({"wiring": "causal+shift"}), True),
        (mix({"kind": "attention", "heads": 2, "axes": [1], "wiring": "full"}), True),
        ({**FOLD, "block": [FEED, mix({"wiring": "full"})]}, False),
        (FOLD, True),
    ],
    ids=str,
)
def test_which_networks_can_be_causal(branch, expected):
    train = {"steps": 1, "objectives": {"turn": 0, "once": 1}}
    model = build(make_config(FEED, branch, grid=GRID, train=train))
    assert Parts(model).can_be_causal == expected


@pytest.mark.parametrize("refeeds", [0, -1, 1.5])
def test_refeeds_are_checked(refeeds):
    with pytest.raises(MdnnError, match="refeeds: expected a number of steps from 1, received"):
        variant(network(FEED), causal=True, refeeds=refeeds)


@pytest.mark.parametrize("final_norm", ["rms", "none"])
def test_hidden_is_what_the_heads_are_given(final_norm):
    backbone = {"width": 4, "depth": 1, "branch": [FOLD, ROWS], "final_norm": final_norm}
    model = network(backbone=backbone, refeed={"steps": 2})
    parts = Parts(model)
    assert (parts.grid, parts.row, parts.rows, parts.refeeds) == (GRID, 2, 3, 2)
    assert {id(w) for w in parts.weights} == {id(w) for w in model.weights}
    tokens = text_tokens((2, SLOTS))
    for causal, refeeds in ((True, None), (False, 3)):
        call = {"causal": causal, "refeeds": refeeds}
        found = values(lambda t, c=call: parts.heads(parts(t, **c), t), tokens)
        expected = scores(variant(model, causal, refeeds), tokens)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("grid", "refeeds", "start"), [((3, 2), None, "zeros"), ((2, 2, 2), 2, "learned")]
)
def test_row_by_row(grid, refeeds, start):
    """A row alone, with the additions of a pass that did not know it."""
    within = mix({"axes": [len(grid)]}, gate="silu")
    branches = [FOLD, within, {**FOLD, "residual": "post"}, FEED]
    model = network(*branches, grid=grid, refeed={"start": start})
    parts = Parts(model)
    assert parts.row_wise

    def additions(tokens):
        return ops.stack(parts.additions(tokens, refeeds))

    def row_hidden(tokens, added):
        return parts.row_hidden(tokens, list(added), refeeds)

    tokens = text_tokens((2, int(np.prod(grid))))
    expected = values(lambda t: parts.hidden(t, refeeds=refeeds), tokens)
    for row in range(parts.rows):
        here = slice(row * parts.row, (row + 1) * parts.row)
        before = tokens.copy()
        before[:, here.start :] = 0
        added = values(additions, before)
        assert added.shape == (2 * (refeeds or 1), 2, parts.rows, 2, 4)
        found = values(row_hidden, tokens[:, here], added[:, :, row])
        np.testing.assert_allclose(found, expected[:, here], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("mixer", "expected"),
    [
        ({"axes": [2]}, True),
        ({"axes": [-1], "sharing": "shared", "wiring": "full"}, True),
        ({"axes": [2], "kind": "conv", "window": 1}, True),
        ({"axes": [2], "sharing": "separate"}, False),
        ({"axes": [1]}, False),
        ({}, False),
        ({"axes": [-1], "sharing": "separate", "wiring": "full"}, False),
    ],
    ids=str,
)
def test_which_networks_can_be_run_row_by_row(mixer, expected):
    assert Parts(build(make_config(FOLD, mix(mixer), grid=GRID))).row_wise == expected


def test_a_model_that_holds_parts_holds_the_weights():
    class Holder(keras.Model):
        def __init__(self, parts):
            super().__init__()
            self.parts = parts

        def call(self, tokens):
            return self.parts(tokens, causal=False)

    model = network(FOLD, ROWS)
    holder = Holder(Parts(model))
    assert {id(w) for w in holder.weights} == {id(w) for w in model.weights}
    tokens = text_tokens((2, SLOTS))
    expected = values(lambda t: Parts(model).hidden(t, causal=False), tokens)
    np.testing.assert_allclose(to_numpy(holder(tokens)), expected, rtol=1e-4, atol=1e-4)
