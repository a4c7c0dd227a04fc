"""Several texts at once: each as it would be alone, whatever is beside it."""

import keras
import numpy as np
import pytest
from networks import make_config, mix, randomize

from mdnn.generation.batch_groups import SIZES, Together, group_size
from mdnn.generation.stream import StreamWriter
from mdnn.generation.writer import start_window
from mdnn.models.builder import build
from mdnn.tokens.characters import TextTokenizer

POSITIONS, ROWS = 6, 19
PROMPTS = [("abcdefgh" * 2)[row % 5 : row % 5 + 1 + row % 7] for row in range(ROWS)]


def settings(rows):
    return {
        "seed": np.arange(ROWS, dtype="int32")[rows],
        "temperature": np.linspace(0.0, 1.5, ROWS, dtype="float32")[rows],
        "top_k": np.zeros(ROWS, "int32")[rows],
        "top_p": np.ones(ROWS, "float32")[rows],
    }


@pytest.fixture(scope="module")
def writer():
    config = make_config(mix({"wiring": "causal"}), {"kind": "feedforward"}, grid=(POSITIONS,))
    return StreamWriter(randomize(build(config)), chunk=8, xla=False)


def begin(writer, rows):
    window, filled = start_window(TextTokenizer(()), [PROMPTS[row] for row in rows], POSITIONS)
    return Together(writer, window, filled, settings(rows))


def continued(together, counts, wanted=None):
    parts = [together.write(count, wanted) for count in counts]
    return [np.concatenate(row) for row in zip(*parts, strict=True)]


def test_each_as_it_would_be_alone(writer):
    together = begin(writer, np.arange(ROWS))
    assert [len(group.rows) for group in together.groups] == [16, 3]
    found = continued(together, [1, 8, 8])
    lengths = set()
    for row in range(ROWS):
        (alone,) = continued(begin(writer, np.array([row])), [8, 8, 1])
        # A longer prompt than others of its group is waited for.
        assert 17 - POSITIONS < len(found[row]) <= 17
        np.testing.assert_array_equal(found[row], alone[: len(found[row])])
        lengths.add(len(found[row]))
    assert len(lengths) > 1
    assert len({units.tobytes() for units in found}) > ROWS / 2


def test_groups_of_which_nothing_is_wanted_are_left(writer):
    together = begin(writer, np.arange(ROWS))
    first, second = together.groups
    wanted = [row == second.rows[1] for row in range(ROWS)]
    found = together.write(8, wanted)
    assert {row for row in range(ROWS) if len(found[row])} == set(second.rows)
    later = together.write(8)
    begun = begin(writer, np.arange(ROWS)).write(8)
    for row in first.rows:
        np.testing.assert_array_equal(later[row], begun[row])


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 1), (2, 1), (3, 4), (8, 4), (9, 8), (17, 16), (64, 16)]
)
def test_sizes_of_groups(rows, size):
    assert group_size(rows) == size
    assert size in SIZES


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="threads are TensorFlow's")
def test_what_fails_in_one_group_is_raised(writer, monkeypatch):
    together = begin(writer, np.arange(ROWS))

    def fail(count):
        raise MemoryError("no room")

    monkeypatch.setattr(together.groups[1], "write", fail)
    with pytest.raises(MemoryError, match="no room"):
        together.write(4)
