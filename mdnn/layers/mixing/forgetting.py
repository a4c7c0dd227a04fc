"""Sums in which each position keeps a part of what was before it."""

import math

from keras import ops

from mdnn.layers.mixing.row_sums import MATRIX_ROWS, block_rows

NOTHING = -1e9
"""Stands for the logarithm of 0."""


LEAST = -30.0
"""Lower bound of the logarithms: sums of larger magnitudes lose digits in float32."""


class Forgetting:
    """What is left, inside a row, of the value of a position at those after it.

    Args:
        logs: float32 `[..., n]`, the logarithm of the part of all earlier values that each position
            of a row keeps, at most 0; less than `LEAST` counts as that.
        follow: bool, whether key j is stored with the value of position j + 1
            (`match="previous"`).

    Attributes:
        log_total: float32 `[...]`, the logarithm of the part that a row keeps of all before it.
    """

    def __init__(self, logs, follow=False):
        self._logs = ops.maximum(logs, LEAST)
        self._through = ops.cumsum(self._logs, axis=-1)
        self._stored, self._follow = self._through, follow
        self.log_total = ops.maximum(self._through[..., -1], LEAST)
        if follow:
            self._stored = _later(self._through, self._through[..., -1:])

    @property
    def from_before(self):
        """float32 `[..., n]`, the part of the values of earlier rows that is left."""
        return ops.exp(self._through)

    @property
    def at_end(self):
        """float32 `[..., n]`, the part of each stored value that is left at the row's end."""
        after = log_after(self._logs)
        return ops.exp(_later(after, after[..., -1:]) if self._follow else after)

    def between(self, reads):
        """Returns the part of what j stores that is left at t, `[..., t, j]`; 0 if unread.

        Args:
            reads: bool, broadcasts to `[..., t, j]`, whether t reads what j stores.
        """
        logs = self._through[..., :, None] - self._stored[..., None, :]
        return ops.exp(ops.where(reads, logs, NOTHING))

    def at(self, seen, reads):
        """Returns what is left at the last position that is seen.

        Args:
            seen, reads: bool, broadcast to `[..., 1, n]`: the positions up to that one, and those
                whose stored values it reads.

        Returns:
            Pair of float32 tensors: `[..., 1, n]`, the part of each stored value, and
            `[..., 1, 1]`, of the values of earlier rows.
        """
        now = ops.sum(ops.where(seen, self._logs[..., None, :], 0.0), axis=-1, keepdims=True)
        left = ops.where(reads, now - self._stored[..., None, :], NOTHING)
        return ops.exp(left), ops.exp(now)


def log_after(logs, axis=-1):
    """Returns the sums of logarithms after each position, of the shape of `logs`.

    Added up from the end, where they are small, not as differences of long sums.
    """
    from_end = ops.flip(ops.cumsum(ops.flip(logs, axis=axis), axis=axis), axis=axis)
    return from_end - logs


def _later(values, last):
    """Returns values `[..., n]` moved one position forward, and `last` `[..., 1]` at the end."""
    return ops.concatenate([values[..., 1:], last], axis=-1)


def left_of_rows(kept):
    """Returns the factor that remains of each row's sums after all later rows.

    Args:
        kept: float32 `[batch, rows, ...]`, `Forgetting.log_total` of the rows.

    Returns:
        float32 tensor of that shape.
    """
    return ops.exp(log_after(kept, axis=1))


def kept_sums_before(sums, kept, before=None):
    """Returns the sums of all earlier rows, of which the rows between keep a part.

    Args:
        sums: float32 `[batch, rows, heads, features, values]`.
        kept: float32 `[batch, rows, heads]`, `Forgetting.log_total` of the rows.
        before: float32 `[batch, heads, features, values]`, the sums before the first row; `None`
            for none.

    Returns:
        Tensor of the shape of `sums`: in row r the sum over s < r of `sums` of row s times the
        parts that the rows s + 1 to r - 1 keep.
    """
    rows, heads, *rest = sums.shape[1:]
    flat = ops.transpose(ops.reshape(sums, (-1, rows, heads, math.prod(rest))), (0, 2, 1, 3))
    kept = ops.transpose(kept, (0, 2, 1))
    if before is not None:
        before = ops.reshape(before, (-1, heads, math.prod(rest)))
    flat = ops.transpose(_flat_sums(flat, kept, before), (0, 2, 1, 3))
    return ops.reshape(flat, (-1, rows, heads, *rest))


def _flat_sums(sums, kept, before=None):
    """Returns the sums of earlier rows: `[..., rows, n]`, `[..., rows]` and `[..., n]`."""
    through = ops.cumsum(kept, axis=-1)
    rows = sums.shape[-2]
    if rows <= MATRIX_ROWS:
        row = ops.arange(rows)
        logs = (through - kept)[..., :, None] - through[..., None, :]
        y = ops.matmul(ops.exp(ops.where(row[:, None] > row[None, :], logs, NOTHING)), sums)
    else:
        y = _sums_in_blocks(sums, kept)
    if before is None:
        return y
    return y + ops.exp(through - kept)[..., None] * before[..., None, :]


def _sums_in_blocks(sums, kept):
    heads, rows, n = sums.shape[1:]
    size = block_rows(rows)
    missing = -rows % size
    if missing:
        sums = ops.pad(sums, [[0, 0], [0, 0], [0, missing], [0, 0]])
        kept = ops.pad(kept, [[0, 0], [0, 0], [0, missing]])
    shape = -1, heads, (rows + missing) // size, size
    sums, kept = ops.reshape(sums, (*shape, n)), ops.reshape(kept, shape)
    through = ops.cumsum(kept, axis=-1)
    left = ops.exp(log_after(kept))[..., None]
    total = ops.maximum(through[..., -1], LEAST)
    before = _flat_sums(ops.sum(sums * left, axis=3), total)
    y = _flat_sums(sums, kept, before)
    return ops.reshape(y, (-1, heads, rows + missing, n))[:, :, :rows]
