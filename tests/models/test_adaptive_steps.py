"""Positions that take steps of their own, by length or until the halting head stops them."""

import keras
import numpy as np
import pytest
from backends import jacobian, to_numpy
from keras import ops
from networks import make_config, mix, randomize, text_tokens
from streaming import compiled, position_by_position

from mdnn import MdnnError, build
from mdnn.models.incremental import IncrementalDecoder
from mdnn.models.thinking.halting import CERTAIN
from mdnn.models.thinking.step_limits import steps_taken
from mdnn.tokens.modalities import modality

FEED = {"kind": "feedforward", "gate": "silu"}
ROW = {"axes": [2], "groups": 2}
LENGTH = {"steps": 3, "step_schedule": "length", "steps_by_length": {"per_given": 0.6}}
HALT = {"steps": 1, "step_schedule": "halt", "supervision_steps": 3}
ITEMS = {
    "context": {"layout": "items", "grid": [2, 2]},
    "tokens": {"modalities": ["text", "grey"], "items": True},
}
NETWORKS = {
    "length": ([mix({"groups": 2}, gate="silu"), FEED], (5,), {"refeed": LENGTH}),
    "length, items": (
        [mix(ROW, {"axes": [1]}), FEED],
        (2, 2),
        {"refeed": LENGTH | {"inner_steps": 1, "damping": 0.3}, **ITEMS},
    ),
    "length, fold": (
        [{"kind": "fold", "width": 6, "block": [mix({"groups": 3})]}, mix(ROW)],
        (2, 2),
        {"refeed": LENGTH | {"initial_state": "random"}},
    ),
    "halt": ([mix({"groups": 2}, gate="silu"), FEED], (5,), {"refeed": HALT}),
    "halt, answers fed back": (
        [mix({"execution": "sequential"}), FEED],
        (2, 2),
        {"refeed": HALT | {"feedback": "answer", "initial_state": "learned"}},
    ),
    "halt, items": (
        [mix({"kind": "attention", "axes": [2], "heads": 2}), mix({"axes": [1]})],
        (2, 2),
        {"refeed": HALT | {"inner_steps": 1, "steps": 2, "supervision_steps": 2}, **ITEMS},
    ),
}


def network(name, **objectives):
    branches, grid, tables = NETWORKS[name]
    tables = {"context": {"grid": list(grid)}, **tables}
    if objectives:
        tables = tables | {"train": {"steps": 1, "objectives": objectives}}
    model = randomize(build(make_config(*branches, grid=grid, width=8, **tables)))
    if model.halt is not None:
        # Half of the first scores are above the threshold, none is close to it.
        model.halt.bias.assign(0.0)
        hidden = model.hidden(text_tokens((3, model.positions)), steps=model.config.refeed.steps)
        ordered = np.sort(to_numpy(model.halt.stop(hidden)), axis=None)
        middle = len(ordered) // 2
        model.halt.bias.assign(CERTAIN - ordered[middle - 1 : middle + 1].mean())
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_position_by_position(name):
    model = network(name)
    tokens = text_tokens((3, model.positions))
    whole = to_numpy(model.hidden(tokens))
    taken = to_numpy(steps_taken(model, ops.convert_to_tensor(tokens)))
    assert len(set(taken.reshape(-1))) > 1
    assert taken.max() <= model.steps
    decoder = compiled(IncrementalDecoder(model))
    tolerance = 1e-5 * np.abs(whole).max()
    for begin, together in ((0, False), (model.positions - 1, True)):
        found = position_by_position(decoder, tokens, begin, together)
        np.testing.assert_allclose(found, whole[:, begin:], atol=tolerance)


@pytest.mark.parametrize("name", ["length", "halt"])
def test_a_number_of_steps_turns_the_schedule_off(name):
    model = network(name)
    tokens = text_tokens((3, model.positions))
    fixed = to_numpy(model.hidden(tokens, steps=model.steps))
    assert not np.allclose(fixed, to_numpy(model.hidden(tokens)), atol=1e-3)
    found = position_by_position(compiled(IncrementalDecoder(model, model.steps)), tokens)
    np.testing.assert_allclose(found, fixed, atol=1e-5 * np.abs(fixed).max())


@pytest.mark.parametrize("name", ["length", "halt, answers fed back", "halt, items"])
def test_no_position_depends_on_later_ones(name):
    model = network(name)
    positions = model.positions
    tokens = ops.convert_to_tensor(text_tokens((1, positions)))
    x, limits = to_numpy(model.embed(tokens))[0], model.limits(tokens, model.options)

    def run(x):
        return model.backbone(x, limits=limits)

    found = jacobian(run, x).reshape(positions, model.width, positions, model.width)
    found = (found != 0).any(axis=(1, 3))
    assert not np.triu(found, 1).any()
    assert np.tril(found, -1).any()
    assert np.diag(found).all()
    # Where a position stops is a step of the function: it, too, depends on earlier ones alone.
    tokens, half = text_tokens((4, positions)), positions // 2
    other = tokens.copy()
    other[:, half:] = text_tokens((4, positions), seed=1)[:, half:]
    one, two = (to_numpy(steps_taken(model, ops.convert_to_tensor(t))) for t in (tokens, other))
    np.testing.assert_array_equal(one[:, :half], two[:, :half])
    assert (one != two).any() == name.startswith("halt")


def test_numbers_of_steps_by_length():
    tokens = ops.convert_to_tensor(text_tokens((2, 5)))
    assert to_numpy(steps_taken(network("length"), tokens)).tolist() == [[1, 2, 2, 3, 3]] * 2
    tokens = ops.convert_to_tensor(text_tokens((2, 6)))
    table = {"per_given": 0.5, "per_unknown": 1.0, "least": 2, "most": 4}
    config = make_config(FEED, grid=(6,), refeed=LENGTH | {"steps": 5, "steps_by_length": table})
    model = build(config)
    assert to_numpy(steps_taken(model, tokens)).tolist() == [[2, 2, 3, 3, 4, 4]] * 2


def test_steps_of_a_whole_context_by_what_it_asks_for():
    config = make_config(
        mix({"wiring": "full"}),
        grid=(6,),
        refeed=LENGTH | {"steps": 5, "steps_by_length": {"per_given": 0.5, "per_unknown": 1.0}},
        train={"steps": 1, "objectives": {"autoregressive": 0, "parallel": 1}},
    )
    model = randomize(build(config))
    tokens = text_tokens((3, 6))
    tokens[1, 4:] = 0
    tokens[2, 3:] = 0
    tokens[2, 3:, 0] = modality("blank").index
    taken = to_numpy(steps_taken(model, ops.convert_to_tensor(tokens)))
    # 6 given: 3 steps; 4 given: 2; 3 given and 3 asked for: 4.5, rounded up.
    assert taken.tolist() == [[3] * 6, [2] * 6, [5] * 6]
    found = to_numpy(model.hidden(tokens))
    for number, steps in enumerate((3, 2, 5)):
        expected = to_numpy(model.hidden(tokens[number : number + 1], steps=steps))
        np.testing.assert_allclose(found[number], expected[0], rtol=1e-4, atol=1e-5)


def test_a_head_that_always_or_never_stops():
    model = network("halt, items")
    tokens = text_tokens((2, 4))
    model.halt.kernel.assign(np.zeros(8))
    for bias, steps in ((CERTAIN + 1, 2), (CERTAIN - 1, 4)):
        model.halt.bias.assign(bias)
        taken = to_numpy(steps_taken(model, ops.convert_to_tensor(tokens)))
        assert (taken == steps).all()
        expected = to_numpy(model.hidden(tokens, steps=steps))
        np.testing.assert_allclose(to_numpy(model.hidden(tokens)), expected, atol=1e-5)


def test_it_is_saved_and_cloned(tmp_path):
    model, tokens = network("halt"), text_tokens((2, 5))
    inputs = {"tokens": tokens, "targets": tokens}
    expected = to_numpy(model(inputs))
    other = type(model).from_config(model.get_config())
    assert other.options == model.options
    assert other.options.adaptive
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(to_numpy(other(inputs)), expected)
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(to_numpy(loaded(inputs)), expected)
    assert not model.with_options(steps=3).options.adaptive


@pytest.mark.parametrize(
    ("refeed", "message"),
    [
        (
            LENGTH | {"bptt_steps": 1},
            "refeed.bptt_steps: expected 0 with step_schedule = 'length', in",
        ),
        (
            LENGTH | {"remat": True},
            "refeed.remat: expected False with step_schedule = 'length', in which",
        ),
        (
            LENGTH | {"supervision_steps": 2},
            "refeed.supervision_steps: expected 1 with step_schedule = 'length'",
        ),
        (
            LENGTH | {"steps_by_length": {"per_given": 1.0, "most": 6}},
            "refeed.steps_by_length.most: expected at most refeed.steps = 3, received 6",
        ),
        (
            HALT | {"halt_exploration_prob": 0.5},
            "refeed.halt_exploration_prob: expected 0.1 outside puzzles",
        ),
        (HALT | {"supervision_steps": 1}, "refeed.supervision_steps: expected at least 2"),
    ],
)
def test_what_is_refused(refeed, message):
    with pytest.raises(MdnnError, match=message):
        make_config(FEED, refeed=refeed)
