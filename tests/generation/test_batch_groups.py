"""Several texts at once: each as it would be alone, whatever is beside it."""

import keras
import numpy as np
import pytest
from networks import make_config, mix, randomize

from mdnn.generation.batch_groups import GROUP_SIZES, BatchGroups, group_size
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts
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
def decoder():
    config = make_config(mix({"wiring": "causal"}), {"kind": "feedforward"}, grid=(POSITIONS,))
    return TextDecoder(randomize(build(config)), chunk=8, xla=False)


def begin(decoder, rows):
    window, filled = encode_prompts(TextTokenizer(()), [PROMPTS[row] for row in rows], POSITIONS)
    return BatchGroups(decoder, window, filled, settings(rows))


def continued(batch, counts, active=None):
    parts = [batch.decode(count, active) for count in counts]
    return [np.concatenate(row) for row in zip(*parts, strict=True)]


def test_each_as_it_would_be_alone(decoder):
    batch = begin(decoder, np.arange(ROWS))
    assert [len(group.texts) for group in batch.groups] == [16, 3]
    found = continued(batch, [1, 8, 8])
    lengths = set()
    for row in range(ROWS):
        (alone,) = continued(begin(decoder, np.array([row])), [8, 8, 1])
        # A longer prompt than others of its group is waited for.
        assert 17 - POSITIONS < len(found[row]) <= 17
        np.testing.assert_array_equal(found[row], alone[: len(found[row])])
        lengths.add(len(found[row]))
    assert len(lengths) > 1
    assert len({units.tobytes() for units in found}) > ROWS / 2


def test_groups_of_which_nothing_is_wanted_are_left(decoder):
    rows = 6
    batch = begin(decoder, np.arange(rows))
    first, second = batch.groups
    active = [row == second.texts[1] for row in range(rows)]
    found = batch.decode(8, active)
    assert {row for row in range(rows) if len(found[row])} == set(second.texts)
    later = batch.decode(8)
    begun = begin(decoder, np.arange(rows)).decode(8)
    for row in first.texts:
        np.testing.assert_array_equal(later[row], begun[row])


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 1), (2, 1), (3, 4), (8, 4), (9, 8), (17, 16), (64, 16)]
)
def test_sizes_of_groups(rows, size):
    assert group_size(rows) == size
    assert size in GROUP_SIZES


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="threads are TensorFlow's")
def test_what_fails_in_one_group_is_raised(decoder, monkeypatch):
    batch = begin(decoder, np.arange(ROWS))

    def fail(count):
        raise MemoryError("no room")

    monkeypatch.setattr(batch.groups[1], "decode", fail)
    with pytest.raises(MemoryError, match="no room"):
        batch.decode(4)
