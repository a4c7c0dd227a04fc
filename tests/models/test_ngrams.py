"""Tables of n-grams: which characters a row stands for."""

import numpy as np
import pytest
from backends import to_numpy

from mdnn.models.chunks.ngram_block import NgramBlock

CODES = np.array([[5, 0x1F600, 7, 8, 70_000, 9, 9, 300]], "int32")


def outputs(block, codes):
    x = np.zeros((*codes.shape, 6), "float32")
    return to_numpy(block(x, marks=codes))


@pytest.mark.parametrize("lengths", [(1,), (2,), (3,), (2, 4)])
def test_a_row_stands_for_all_of_an_ngram_and_nothing_else(lengths):
    """A changed character changes the n positions that begin with it, and no other one."""
    block = NgramBlock(lengths, 32_768, 4)
    before = outputs(block, CODES)
    for place in range(CODES.shape[1]):
        changed = CODES.copy()
        changed[0, place] = 11
        differs = (outputs(block, changed) != before).any(axis=-1)[0]
        np.testing.assert_array_equal(
            np.flatnonzero(differs), np.arange(place, min(place + max(lengths), CODES.shape[1]))
        )


def test_the_order_of_characters_counts():
    block = NgramBlock([2], 32_768, 4)
    found = outputs(block, np.array([[1, 2, 1, 2]], "int32"))[0]
    np.testing.assert_array_equal(found[1], found[3])
    assert (found[1] != found[2]).any()


def test_each_length_has_its_own_table():
    """The first character alone and a pair that has its number take rows of two tables."""
    block = NgramBlock([1, 2], 10, 2)
    block.build((None, 1, 4))
    assert block.table.shape == (20, 2)
    table = np.zeros((20, 2), "float32")
    table[:10] = 1
    block.table.assign(table)
    # The dense layer hands on what it takes: the rows of all lengths side by side.
    block.dense_out.kernel.assign(np.eye(4))
    rows = to_numpy(block.vectors(np.array([[0, 3, 4]], "int32")))
    assert rows[..., :2].all()
    assert not rows[..., 2:].any()


def test_training_looks_up_the_same_rows():
    block = NgramBlock([1, 3], 50, 4)
    x = np.zeros((1, CODES.shape[1], 6), "float32")
    one, other = (to_numpy(block(x, marks=CODES, training=mode)) for mode in (False, True))
    np.testing.assert_allclose(one, other, rtol=1e-6)
