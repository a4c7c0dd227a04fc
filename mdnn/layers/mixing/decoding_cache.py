"""Defines the interface of decoding caches, which compute one new position at constant cost."""

import math

from keras import ops


class DecodingCache:
    """Runs one causal mixer position by position. All methods run inside a compiled function.

    A row is the positions of the fastest axis ("columns"). The state is four dicts of tensors:

    - `weights`: computed from the layer's weights once before all loops;
    - `past_rows`: summaries of completed rows. Entries for the current and later rows are
      undefined;
    - `row_context`: contributions of completed rows, and the weights of the row, to the current
      row;
    - `current_row`: inputs of the current row. Entries for the current and later columns are
      undefined.

    Row indices are int32 `[batch]`, or `[1]` if all contexts are at the same row.

    Args:
        grid: tuple of ints, the sizes of the context axes, the last one the number of columns.
        width: int, channels.
        columns: bool, whether the layer has the axis of the columns (see
            `Mixer.make_caches`).

    Attributes:
        num_columns: int, n, positions of a row.
        num_rows: int, R.
        layer_grid: tuple of ints, the context axes that the layer has.
        takes_prefix: bool, whether `prefill` accepts the first rows only or, with a single row,
            the first columns only.
        reads_pieces: bool, whether `read` accepts pieces of a context, one after another.
        keeps_history: bool, whether `prefill` also returns `current_row` for any position of the
            context, which then takes the place of the result of `restore_row`.
    """

    takes_prefix = True
    reads_pieces = False
    keeps_history = False

    def __init__(self, grid, width, columns=True):
        self.grid, self.width = tuple(grid), width
        self.num_columns, self.num_rows = grid[-1], math.prod(grid[:-1])
        self.layer_grid = self.grid if columns else self.grid[:-1]

    def prepare_weights(self):
        """Computes `weights` from the layer's weights."""
        return {}

    def empty_rows(self, batch, dtype):
        """Returns the initial `past_rows`."""
        return {}

    def empty_row(self, batch, dtype):
        """Returns the initial `current_row`."""
        return {}

    def start_row(self, weights, past_rows, row):
        """Computes `row_context` for a row.

        Args:
            weights, past_rows: see the class.
            row: int32 `[batch]` or `[1]`, the row's number.
        """
        return {}

    def step(self, weights, row_context, current_row, column, x):
        """Mixes one position of each context.

        Args:
            weights, row_context, current_row: Dicts, see the class.
            column: int32 scalar, the column's index.
            x: Tensor `[batch, width]`.

        Returns:
            `(y, current_row)`: the output `[batch, width]` and the updated dict.
        """
        raise NotImplementedError

    def finish_row(self, weights, past_rows, row, current_row):
        """Returns `past_rows` with a completed row added.

        Args:
            weights, past_rows, current_row: see the class.
            row: int32 `[batch]` or `[1]`, the row's number.
        """
        return past_rows

    def prefill(self, weights, x):
        """Mixes whole rows `x` `[batch, rows, columns, width]`; returns the output, `past_rows`."""
        raise NotImplementedError

    def empty_reading(self, batch, dtype):
        """Returns the `past_rows` with which `read` starts the first piece."""
        return self.empty_rows(batch, dtype)

    def read(self, weights, x, row=None, past_rows=None, first=None):
        """Mixes a context up to the row at which decoding goes on, or a piece of it.

        Args:
            weights: dict, see the class.
            x: Tensor `[batch, rows, columns, width]`, the first rows of a context or, if
                `reads_pieces`, the next ones: as many as several indices of the slowest axis have.
            row: int32 `[batch]` or `[1]`, a row of `x` counted from the context's beginning: the
                `past_rows` that are returned are those at its start. `None` for a piece after
                which another one is read.
            past_rows: dict, the result for the piece before this one, or of `empty_reading`;
                `None` if `x` begins the context and is read at once.
            first: int32 `[1]`, the number of the first row of `x`; `None` for 0.

        Returns:
            What `prefill` returns.
        """
        return self.prefill(weights, x)

    def restore_row(self, x, row):
        """Computes `current_row` from the first columns of a row, `x` `[batch, columns, width]`."""
        return {}

    def is_row(self, row, before=0, after=0):
        """Builds a mask that selects `row` among R rows: bool `[batch or 1, 1.., R, 1..]`.

        Args:
            row: int32 `[batch]` or `[1]`.
            before, after: Integers, the numbers of axes of size 1 before and after the rows' axis.
        """
        here = ops.equal(ops.arange(self.num_rows, dtype="int32")[None], row[:, None])
        return ops.reshape(here, (-1, *[1] * before, self.num_rows, *[1] * after))

    def pad_columns(self, x):
        """Pads the first columns of a row, `[batch, columns, ...]`, with zeros to n columns."""
        rest = [[0, 0]] * (len(x.shape) - 2)
        return ops.pad(x, [[0, 0], [0, self.num_columns - x.shape[1]], *rest])


def set_index(array, index, value):
    """Returns `array` `[size, ...]` with `value` at `index` of the first axis.

    Uses `scatter_update`: on TensorFlow `slice_update` is an XLA operation that servers may lack.

    Args:
        array: tensor `[size, ...]`.
        index: int32 scalar.
        value: tensor `[...]`.
    """
    return ops.scatter_update(array, ops.reshape(index, (1, 1)), value[None])
