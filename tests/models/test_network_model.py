"""A network: its forward pass with other wirings and steps, and what it shares."""

import keras
import numpy as np
import pytest
from backends import jacobian, to_numpy, values
from networks import make_config, mix, randomize, text_tokens

from mdnn import MdnnError, Network, build

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
POSITIONS = 6


def network(*branches, **options):
    return randomize(build(make_config(*branches, **{"grid": GRID, **options})))


def scores(model, tokens, targets=None):
    targets = tokens if targets is None else targets
    return values(lambda t, u: model({"tokens": t, "targets": u}), tokens, targets)


def connected(model, causal, steps=None):
    """Which position of the embedded context reaches which position's state: booleans `[from,
    to]`."""
    x = np.random.default_rng(1).normal(size=(*model.grid, model.width)).astype("float32")
    options = model.options.changed(causal=causal, steps=steps)
    found = jacobian(lambda x: model.backbone(x, options), x)
    positions = np.prod(model.grid)
    return (found.reshape(positions, model.width, positions, model.width) != 0).any(axis=(1, 3)).T


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
    """By itself: nothing of its own row, every position of all rows before."""
    fold = {**FOLD, "residual": "none", "block": [{**FOLD["block"][0], "residual": "none"}]}
    found = connected(network(fold, grid=(2, 2, 2)), causal=True)
    rows = np.arange(8) // 2
    np.testing.assert_array_equal(found, rows[:, None] < rows[None, :])


@pytest.mark.parametrize("refeed", [{}, {"steps": 2, "initial_state": "learned"}], ids=str)
def test_weights_are_shared(refeed):
    model = network(FOLD, ROWS, refeed=refeed)
    tokens = text_tokens((2, POSITIONS))
    expected = scores(model, tokens)
    for causal in (True, False):
        other = model.with_options(causal)
        assert [id(w) for w in other.weights] == [id(w) for w in model.weights]
        found = scores(other, tokens)
        assert found.shape == expected.shape
        # The network as built writes in turn.
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-4) == causal


def test_targets_are_optional():
    model = network(FOLD, ROWS)
    tokens = text_tokens((2, POSITIONS))
    other = model.with_options(causal=True)
    assert list(other.input) == list(model.input)
    for tensor in other.input.values():
        assert (tensor.shape, tensor.dtype) == ((None, POSITIONS, 8), "int32")
    expected = values(lambda t: model({"tokens": t, "targets": None}), tokens)
    found = values(lambda t: other({"tokens": t, "targets": None}), tokens)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", ["zeros", "learned"])
def test_other_refeeds(start):
    def network_of(steps):
        return randomize(
            build(
                make_config(FOLD, ROWS, grid=GRID, refeed={"steps": steps, "initial_state": start})
            )
        )

    tokens = text_tokens((2, POSITIONS))
    once, thrice = network_of(1), network_of(3)
    found = scores(once.with_options(causal=True, steps=3), tokens)
    np.testing.assert_allclose(found, scores(thrice, tokens), rtol=1e-3, atol=1e-3)
    back = scores(thrice.with_options(causal=True, steps=1), tokens)
    np.testing.assert_allclose(back, scores(once, tokens), rtol=1e-3, atol=1e-3)
    refed = once.with_options(causal=True, steps=3)
    assert [id(w) for w in refed.weights] == [id(w) for w in once.weights]
    assert abs(found - back).max() > 0.1


def test_built_whole_where_writing_in_turn_is_not_trained():
    train = {"steps": 1, "objectives": {"autoregressive": 0, "parallel": 1}}
    model = network(FOLD, mix({"axes": [2], "wiring": "full"}), train=train)
    tokens = text_tokens((2, POSITIONS))
    expected = scores(model, tokens)
    np.testing.assert_allclose(
        scores(model.with_options(causal=False), tokens), expected, rtol=1e-4, atol=1e-4
    )
    with pytest.raises(
        MdnnError, match="this network cannot decode autoregressively: it has mixers"
    ):
        model.with_options(causal=True)


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
    train = {"steps": 1, "objectives": {"autoregressive": 0, "parallel": 1}}
    model = build(make_config(FEED, branch, grid=GRID, train=train))
    assert model.can_be_causal == expected


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_steps_are_checked(steps):
    with pytest.raises(MdnnError, match="steps: expected a whole number from 1, received"):
        network(FEED).with_options(causal=True, steps=steps)


@pytest.mark.parametrize("final_norm", ["rms", "none"])
def test_hidden_is_what_the_heads_are_given(final_norm):
    backbone = {"width": 4, "depth": 1, "layer": [FOLD, ROWS], "final_norm": final_norm}
    model = network(backbone=backbone, refeed={"steps": 2})
    assert (model.grid, model.row, model.rows, model.steps) == (GRID, 2, 3, 2)
    assert model.axis_names == ("row", "column")
    tokens = text_tokens((2, POSITIONS))
    for call in ({"causal": True}, {"causal": False, "steps": 3}):
        found = values(lambda t, c=call: model.heads(model.hidden(t, **c), t), tokens)
        expected = scores(model.with_options(**call), tokens)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


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
    assert build(make_config(FOLD, mix(mixer), grid=GRID)).row_wise == expected


def test_a_model_that_holds_a_network_holds_its_weights():
    class Holder(keras.Model):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def call(self, tokens):
            return self.network.hidden(tokens, causal=False)

    model = network(FOLD, ROWS)
    holder = Holder(model)
    assert {id(w) for w in holder.weights} == {id(w) for w in model.weights}
    tokens = text_tokens((2, POSITIONS))
    expected = values(lambda t: model.hidden(t, causal=False), tokens)
    np.testing.assert_allclose(to_numpy(holder(tokens)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"causal": False, "steps": 3}], ids=str)
def test_saved_cloned_and_made_from_its_config(options, tmp_path):
    model = network(FOLD, ROWS, refeed={"steps": 2}).with_options(**options)
    tokens = text_tokens((2, POSITIONS))
    expected = scores(model, tokens)
    model.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    for other in (again, Network.from_config(model.get_config())):
        assert isinstance(other, Network)
        assert (other.options, other.config) == (model.options, model.config)
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(scores(other, tokens), expected, rtol=1e-5, atol=1e-5)
    # Keras makes a plain functional model of it.
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(scores(copy, tokens), expected, rtol=1e-5, atol=1e-5)
    lines = []
    model.summary(print_fn=lines.append)
    assert any("refeed" in line for line in "\n".join(lines).splitlines())


def test_a_state_to_begin_with():
    """Two steps, and one more from the state after them, are three."""
    model = network(FOLD, ROWS, refeed={"steps": 2})
    tokens = text_tokens((2, POSITIONS))

    def later(tokens):
        x = model.embed(tokens)
        states = model.iterate(x, model.first_states(x), 2)
        return model.hidden(tokens, steps=1, states=states[0])

    expected = values(lambda t: model.hidden(t, steps=3), tokens)
    np.testing.assert_allclose(values(later, tokens), expected, rtol=1e-4, atol=1e-4)
