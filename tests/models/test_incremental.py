"""Networks run position by position against the whole pass."""

import numpy as np
import pytest
from keras import ops
from networks import make_config, mix, randomize, text_tokens
from streaming import compiled, position_by_position

from mdnn.models.builder import build
from mdnn.models.incremental import IncrementalDecoder

FEED = {"kind": "feedforward", "gate": "silu"}
ROW = {"axes": [2], "groups": 2}


def fold(*block, **options):
    return {"kind": "fold", "width": 6, "block": list(block), **options}


NETWORKS = {
    "one axis": ([mix({"groups": 2}, gate="silu"), FEED], (5,), {}),
    "fold": (
        [fold(mix({"groups": 3}, gate="silu"), FEED), mix(ROW, gate="silu"), FEED],
        (3, 4),
        {},
    ),
    "fold, deep": (
        [
            fold(mix({"wiring": "causal+shift"}), depth=2, residual="post"),
            mix(ROW, residual="post"),
        ],
        (4, 3),
        {"refeed": {"steps": 2, "initial_state": "learned"}},
    ),
    "fold of attention": (
        [fold(mix({"kind": "attention", "axes": [1], "heads": 1})), mix(ROW)],
        (3, 3),
        {},
    ),
    "fold over two axes": ([fold(mix({})), mix({"axes": [3]}, bias=True)], (2, 2, 3), {}),
    "stack and times": (
        [mix(ROW, {"axes": [-1], "sharing": "shared"}, stack=2, times=2, activation="silu")],
        (2, 4),
        {},
    ),
    "no matrix": (
        [
            mix({"kind": "attention", "axes": [2], "heads": 2}),
            mix({"kind": "conv", "axes": [2], "window": 1}),
            mix({"kind": "local", "axes": [2], "window": 1, "groups": 2}),
        ],
        (2, 4),
        {},
    ),
    "two axes": ([mix({"groups": 2}, gate="silu"), FEED], (3, 4), {}),
    "two axes, shift": ([mix({"wiring": "causal+shift", "groups": 2}), FEED], (3, 4), {}),
    "three axes": ([mix({"groups": 2}), mix({"wiring": "causal+shift"})], (2, 3, 2), {}),
    "three axes in turn": (
        [mix({"execution": "sequential"}), mix({"execution": "sequential", "order": "descending"})],
        (2, 2, 3),
        {},
    ),
    "separate": (
        [
            mix({"sharing": "separate"}, {"axes": [-1], "sharing": "separate"}, project=False),
            mix({"sharing": "separate", "execution": "sequential"}),
        ],
        (3, 4),
        {"refeed": {"steps": 2}},
    ),
    "tied": ([mix({"sharing": "tied"}), mix({"sharing": "shared"})], (3, 3), {}),
    "local, random, shift": (
        [
            mix({"wiring": "causal+local", "window": 1, "self_connection": "none"}),
            mix({"wiring": "causal+random", "density": 0.5, "seed": 3, "sharing": "separate"}),
            mix({"wiring": "causal+shift+local", "window": 2, "sharing": "separate"}),
            mix({"wiring": "causal+random+shift", "density": 0.6, "self_connection": "once"}),
        ],
        (3, 3),
        {},
    ),
    "single axes of several": (
        [mix({"axes": [1], "groups": 2}), mix({"axes": [2, 3]}), mix({"axes": [1, 3]})],
        (2, 3, 2),
        {},
    ),
    "an axis of one": ([mix({}), mix({"axes": [1]})], (1, 4), {}),
    "rows of one": ([mix({"sharing": "separate"}), mix({"groups": 2})], (4, 1), {}),
    "attention on a slow axis": (
        [
            mix({"kind": "attention", "axes": [1], "heads": 2}),
            mix({"kind": "attention", "axes": [2], "heads": 1, "rotary": False}),
            mix({"kind": "attention", "axes": [3], "heads": 2}),
        ],
        (2, 3, 2),
        {},
    ),
    "conv and local on a slow axis": (
        [
            mix({"kind": "conv", "axes": [1], "window": 2}),
            mix({"kind": "local", "axes": [1], "window": 1, "groups": 2}),
            mix({"kind": "local", "axes": [1], "window": 1, "sharing": "separate"}),
            mix({"kind": "local", "axes": [2], "window": 1, "sharing": "separate"}),
        ],
        (3, 3),
        {},
    ),
    "inner steps": (
        [mix({"groups": 2}, gate="silu"), FEED],
        (3, 2),
        {"refeed": {"steps": 2, "inner_steps": 2, "damping": 0.2, "initial_state": "learned"}},
    ),
    "inner steps of a fold": (
        [fold(mix({})), mix(ROW)],
        (3, 2),
        {"refeed": {"steps": 2, "inner_steps": 1, "noise": 0.1}},
    ),
    "random states": (
        [mix({"groups": 2}, gate="silu"), FEED],
        (2, 3),
        {"refeed": {"steps": 2, "inner_steps": 1, "initial_state": "random"}},
    ),
    "random states of one axis": (
        [mix({"groups": 2}, gate="silu")],
        (5,),
        {"refeed": {"steps": 1, "initial_state": "random", "feedback": "answer"}},
    ),
    "answers fed back": (
        [
            mix({"kind": "conv", "axes": [1], "window": 1}),
            mix({"kind": "attention", "axes": [2], "heads": 2}),
            mix({"kind": "local", "axes": [2], "window": 1}),
        ],
        (3, 2),
        {"refeed": {"steps": 2, "feedback": "both", "damping": 0.5}},
    ),
    "fold of separate channels": (
        [fold(mix({}, {"axes": [-1], "sharing": "separate"})), mix(ROW)],
        (3, 4),
        {},
    ),
}


def network(name):
    branches, grid, tables = NETWORKS[name]
    tables = {"context": {"grid": list(grid)}, **tables}
    config = make_config(*branches, grid=grid, width=8, **tables)
    return randomize(build(config)), config


CASES = [(name, None) for name in NETWORKS] + [("fold, deep", 3), ("three axes", 2)]


@pytest.mark.parametrize(("name", "steps"), CASES)
def test_the_same_as_the_whole_pass(name, steps):
    model, config = network(name)
    positions = config.context.positions
    tokens = text_tokens((2, positions))
    whole = ops.convert_to_numpy(model.hidden(tokens, True, steps))
    decoder = compiled(IncrementalDecoder(model, steps))
    assert (decoder.num_rows, decoder.num_columns) == (positions // model.row, model.row)
    tolerance = 1e-5 * np.abs(whole).max()

    def compare(begin, together):
        found = position_by_position(decoder, tokens, begin, together)
        np.testing.assert_allclose(found, whole[:, begin:], atol=tolerance)

    compare(0, False)
    # From the middle on, where there is one.
    compare(min(positions // 2 + 1, positions - 1), True)
    assert np.abs(whole).max() > 0.1


@pytest.mark.parametrize("name", ["one axis", "three axes", "separate", "no matrix"])
def test_reading_the_beginning_alone(name):
    model, config = network(name)
    positions = config.context.positions
    decoder, tokens = compiled(IncrementalDecoder(model)), text_tokens((2, positions))
    half = positions // 2 if decoder.num_rows == 1 else decoder.num_rows // 2 * decoder.num_columns
    assert decoder.takes_prefix
    weights, row = (
        decoder.prepare_weights(),
        ops.convert_to_tensor(np.int32([(half - 1) // model.row])),
    )
    found = []
    for seen in (half, positions):
        rows, inputs = decoder.prefill(ops.convert_to_tensor(tokens[:, :seen]), weights, row)
        context = decoder.start_row(weights, rows, row)
        current = decoder.restore_row(inputs, row)
        number = ops.convert_to_tensor(np.int32((half - 1) % model.row))
        here = ops.convert_to_tensor(tokens[:, half - 1])
        found.append(decoder.step(here, number, weights, context, current)[0])
    one, two = map(ops.convert_to_numpy, found)
    np.testing.assert_allclose(one, two, atol=1e-5 * np.abs(two).max())


def test_what_follows_does_not_matter():
    for name in ("fold", "three axes", "attention on a slow axis", "separate"):
        model, config = network(name)
        positions, row = config.context.positions, model.row
        decoder, tokens = compiled(IncrementalDecoder(model)), text_tokens((1, positions))
        other = tokens.copy()
        other[:, row + 1 :] = text_tokens((1, positions - row - 1), seed=1)
        weights, at = decoder.prepare_weights(), ops.full((1,), 1, dtype="int32")
        one, two = (
            decoder.start_row(
                weights, decoder.prefill(ops.convert_to_tensor(t), weights, at)[0], at
            )
            for t in (tokens, other)
        )
        compared = 0
        for given, changed in zip(one, two, strict=True):
            for key in set(given) & {"past_sum"}:
                a, b = map(ops.convert_to_numpy, (given[key], changed[key]))
                np.testing.assert_allclose(a, b, atol=1e-6)
                compared += 1
        assert compared or name == "attention on a slow axis"
