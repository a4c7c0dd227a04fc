"""Sums over earlier rows."""

import math

from keras import ops

MATRIX_ROWS = 64
"""Up to this number of rows, sums over earlier rows are products with a triangular matrix."""

BLOCK_ROWS = 32
"""Rows of a block at most, in which more rows are summed: in it, then over the blocks before it."""


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
    # In blocks, since TensorFlow's cumulative sum takes several times as long on CPUs. Not the
    # sum up to a row without the row itself: a difference of large sums would lose what little an
    # early row holds.
    size = block_rows(rows)
    missing = -rows % size
    blocks = ops.pad(sums, [[0, 0], [0, missing], [0, 0]]) if missing else sums
    blocks = ops.reshape(blocks, (-1, (rows + missing) // size, size, n))
    inside = ops.matmul(_earlier(size, sums.dtype), blocks)
    before = _flat_sums_before(ops.sum(blocks, axis=2))
    return ops.reshape(inside + before[:, :, None], (-1, rows + missing, n))[:, :rows]


def block_rows(rows):
    """Returns the rows of a block: a divisor where there is one, since padding copies all rows."""
    sizes = range(BLOCK_ROWS, BLOCK_ROWS // 2, -1)
    return next((size for size in sizes if rows % size == 0), BLOCK_ROWS)


def _earlier(rows, dtype):
    """Returns the matrix `[rows, rows]` that sums over earlier rows."""
    row = ops.arange(rows)
    return ops.cast(row[:, None] > row[None, :], dtype)
