"""The interface of decoding caches: what a causal mixer keeps, so that a position costs one."""

import math

from keras import ops


class DecodingCache:
    """Runs one causal mixer position by position. All methods run inside a compiled function.

    A row is all positions of the fastest axis, its columns. The state is four dicts of tensors:

    - `weights`: made from the layer's weights, once before all loops;
    - `past_rows`: summaries of completed rows. Entries for the current and later rows are
      undefined;
    - `row_context`: what completed rows, and the row's own number, give to the current row;
    - `current_row`: inputs of the current row. Entries for the current and later columns are
      undefined.

    The number of a row is int32 `[batch]`, or `[1]` where all contexts are at the same one.

    Args:
        grid: tuple of ints, the sizes of the context axes, the last one's being the columns.
        width: int, channels.
        columns: boolean, whether the layer has the axis of the columns (see
            `Mixer.make_caches`).

    Attributes:
        num_columns: int, n, positions of a row.
        num_rows: int, R.
        layer_grid: tuple of ints, the context axes that the layer has.
        takes_prefix: whether `prefill` takes the first rows alone or, of a single row, the first
            columns.
    """

    takes_prefix = True

    def __init__(self, grid, width, columns=True):
        self.grid, self.width = tuple(grid), width
        self.num_columns, self.num_rows = grid[-1], math.prod(grid[:-1])
        self.layer_grid = self.grid if columns else self.grid[:-1]

    def prepare_weights(self):
        """Returns `weights`."""
        return {}

    def empty_rows(self, batch, dtype):
        """Returns `past_rows` before the first row."""
        return {}

    def empty_row(self, batch, dtype):
        """Returns `current_row` before the first column."""
        return {}

    def start_row(self, weights, past_rows, row):
        """Returns `row_context` of a row."""
        return {}

    def step(self, weights, row_context, current_row, column, x):
        """Mixes one position of each context.

        Args:
            weights, row_context, current_row: dicts, see the class.
            column: int32, the number of the column.
            x: `[batch, width]`.

        Returns:
            The output `[batch, width]`, and the new `current_row`.
        """
        raise NotImplementedError

    def finish_row(self, weights, past_rows, row, current_row):
        """Returns `past_rows` with one more row, all columns of which ran."""
        return past_rows

    def prefill(self, weights, x):
        """Mixes whole rows `x` `[batch, rows, columns, width]`; returns the output, `past_rows`."""
        raise NotImplementedError

    def restore_row(self, x, row):
        """Returns `current_row` of a row of inputs `x` `[batch, columns, width]`, or its first."""
        return {}

    def is_row(self, row, before=0, after=0):
        """Returns which of R rows is `row`: bool `[batch or 1, 1.., R, 1..]`.

        Args:
            row: int32 `[batch]` or `[1]`.
            before, after: ints, axes of size 1 before and after that of the rows.
        """
        here = ops.equal(ops.arange(self.num_rows, dtype="int32")[None], row[:, None])
        return ops.reshape(here, (-1, *[1] * before, self.num_rows, *[1] * after))

    def pad_columns(self, x):
        """Pads the first columns of a row, `[batch, columns, ...]`, to all of them."""
        rest = [[0, 0]] * (len(x.shape) - 2)
        return ops.pad(x, [[0, 0], [0, self.num_columns - x.shape[1]], *rest])


def set_index(array, index, value):
    """Returns `array` `[size, ...]` with `value` at `index` of its first axis.

    Not `slice_update`: on TensorFlow it is an operation of XLA, which a server may be without.
    """
    return ops.scatter_update(array, ops.reshape(index, (1, 1)), value[None])
