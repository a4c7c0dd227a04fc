"""Sums over earlier rows."""

import math

from keras import ops

MATRIX_ROWS = 64
"""Up to this number of rows, sums over earlier rows are products with a triangular matrix."""

BLOCK_ROWS = 32
"""Rows of a block in which more rows are summed: in the block, then over the blocks before it."""


def sums_before(sums):
    """Returns the sums of all earlier rows, for `[batch, rows, ...]` the same shape."""
    rows, rest = sums.shape[1], sums.shape[2:]
    flat = ops.reshape(sums, (-1, rows, math.prod(rest)))
    return ops.reshape(_flat_sums_before(flat), (-1, rows, *rest))


def _flat_sums_before(sums):
    """Returns the sums of all earlier rows of `[batch, rows, n]`."""
    rows, n = sums.shape[1:]
    if rows <= MATRIX_ROWS:
        return ops.matmul(_earlier(rows, sums.dtype), sums)
    # In blocks, since TensorFlow's cumulative sum takes up to eight times as long on CPUs. Not the
    # sum up to a row without the row itself: a difference of large sums would lose what little an
    # early row holds.
    missing = -rows % BLOCK_ROWS
    blocks = ops.pad(sums, [[0, 0], [0, missing], [0, 0]]) if missing else sums
    blocks = ops.reshape(blocks, (-1, (rows + missing) // BLOCK_ROWS, BLOCK_ROWS, n))
    inside = ops.matmul(_earlier(BLOCK_ROWS, sums.dtype), blocks)
    before = _flat_sums_before(ops.sum(blocks, axis=2))
    return ops.reshape(inside + before[:, :, None], (-1, rows + missing, n))[:, :rows]


def _earlier(rows, dtype):
    """Returns the matrix `[rows, rows]` that sums over earlier rows."""
    row = ops.arange(rows)
    return ops.cast(row[:, None] > row[None, :], dtype)
