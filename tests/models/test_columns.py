"""Networks run slot by slot against the whole pass."""

import numpy as np
import pytest
from keras import ops
from networks import make_config, mix, randomize, text_tokens

from mdnn.models.builder import build
from mdnn.models.columns import Columns
from mdnn.models.variants import Parts

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
        {"refeed": {"steps": 2, "start": "learned"}},
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
    "prompts": (
        [fold(mix({})), mix(ROW)],
        (3, 2),
        {"context": {"grid": [3, 2], "prompts": 2, "layout": "items"}},
    ),
}


def network(name):
    branches, grid, tables = NETWORKS[name]
    tables = {"context": {"grid": list(grid)}, **tables}
    config = make_config(*branches, grid=grid, width=8, **tables)
    return Parts(randomize(build(config))), config


def slot_by_slot(columns, tokens, begin=0):
    """What the heads are given, row by row and column by column from row `begin` on."""
    tokens = ops.convert_to_tensor(tokens)
    kernels, found = columns.kernels(), []
    folded = columns.folded(tokens) if begin else columns.no_rows(tokens)
    for row in range(begin, columns.rows):
        at = ops.full((tokens.shape[0],), row, dtype="int32")
        additions, kept = columns.additions(folded, at), columns.empty(tokens)
        for column in range(columns.row):
            here = tokens[:, row * columns.row + column]
            number = ops.convert_to_tensor(np.int32(column))
            hidden, kept = columns.column(here, number, additions, kept, kernels)
            found.append(ops.convert_to_numpy(hidden))
        folded = columns.with_row(folded, at, kept)
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("refeeds", [None, 3])
def test_the_same_as_the_whole_pass(name, refeeds):
    parts, config = network(name)
    assert parts.row_wise
    prompts, slots = config.context.prompts, config.context.slots
    tokens = text_tokens((2 * prompts, slots))
    whole = parts.hidden(tokens.reshape(2, prompts * slots, 8), True, refeeds)
    whole = ops.convert_to_numpy(whole).reshape(2 * prompts, slots, -1)
    columns = Columns(parts, refeeds)
    assert (columns.rows, columns.row) == (slots // parts.row, parts.row)
    tolerance = 1e-4 * np.abs(whole).max()
    np.testing.assert_allclose(slot_by_slot(columns, tokens), whole, atol=tolerance)
    if columns.rows > 1:
        later = slot_by_slot(columns, tokens, begin=1)
        np.testing.assert_allclose(later, whole[:, parts.row :], atol=tolerance)


def test_what_follows_does_not_matter():
    parts, _ = network("fold")
    columns, tokens = Columns(parts), text_tokens((1, 12))
    other = tokens.copy()
    other[:, 5:] = text_tokens((1, 7), seed=1)
    folded = [ops.convert_to_numpy(x) for x in columns.folded(ops.convert_to_tensor(tokens))]
    changed = [ops.convert_to_numpy(x) for x in columns.folded(ops.convert_to_tensor(other))]
    row = ops.full((1,), 1, dtype="int32")
    for one, two in zip(
        columns.additions(folded, row), columns.additions(changed, row), strict=True
    ):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(two), atol=1e-6)
