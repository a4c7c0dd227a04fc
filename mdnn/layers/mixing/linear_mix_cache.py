"""Defines the decoding cache of mixers that are weighted sums over positions."""

import math

from keras import ops

from mdnn.layers.mixing.decoding_cache import DecodingCache
from mdnn.layers.wiring import toeplitz

OF_ROWS = ("row", "diagonal")
"""The weights whose first axis are the rows, or 1 if all rows have the same."""


class LinearMixCache(DecodingCache):
    """Caches a weighted sum over earlier positions, for every mixer but attention.

    The channels form G groups of neighbors, each with its own kernels. Subclasses return the
    kernels in `matrices`:

    - `row` `[1 or R, G, n, n]` (out, in): weights within the current row; with `shift` by
      distance, `[1 or R, G, 2 n - 1]`;
    - `diagonal` `[R, J, G]`: weights of the position itself, J being 1 or n;
    - `blocks`: for each slower axis a pair of matrices: `inside` `[1 or R, G, n, n]` (out, in) or
      `None`, applied within each completed row, and `between` `[J, G, R, R]` (out, in), the
      weights between rows.

    Args:
        grid, width, columns: As in `DecodingCache`.
        groups: int, G.
        blocks: list of ints, the J of each entry of `blocks`.
        by_row: bool, whether `matrices` returns `row`.
        shift: bool, whether `row` is by distance.
        residual: bool, whether the sum is added to the input.
    """

    reads_pieces = True

    def __init__(
        self, grid, width, columns, groups, blocks=(), by_row=True, shift=False, residual=False
    ):
        super().__init__(grid, width, columns)
        self.groups, self.per_group = groups, width // groups
        self.blocks = list(blocks) if self.num_rows > 1 else []
        self.by_row, self.shift, self.residual = by_row, shift, residual

    def matrices(self):
        """Returns the kernels of the sum, a dict; see the class."""
        raise NotImplementedError

    def prepare_weights(self):
        weights = self.matrices()
        for number, (inside, between) in enumerate(weights.pop("blocks")[: len(self.blocks)]):
            weights[f"between_{number}"] = between
            if inside is not None:
                weights[f"inside_{number}"] = inside
        if self.shift:
            # Reversed, a matrix row is a contiguous slice of the distances.
            weights["row"] = ops.flip(weights["row"], axis=-1)
        return weights

    def empty_rows(self, batch, dtype):
        return {
            str(k): ops.zeros((batch, j, self.groups, self.num_rows, self._rest(j)), dtype)
            for k, j in enumerate(self.blocks)
        }

    def _rest(self, j):
        return self.num_columns // j * self.per_group

    def empty_row(self, batch, dtype):
        if not self.by_row and not self.blocks:
            return {}
        return {"x": ops.zeros((self.groups, self.num_columns, batch * self.per_group), dtype)}

    def restore_row(self, x, row):
        if not self.by_row and not self.blocks:
            return {}
        x = ops.reshape(self.pad_columns(x), (-1, self.num_columns, self.groups, self.per_group))
        x = ops.transpose(x, (2, 1, 0, 3))
        return {"x": ops.reshape(x, (self.groups, self.num_columns, -1))}

    def start_row(self, weights, past_rows, row):
        context = {}
        for name in ("row", "diagonal"):
            if name in weights and (name == "diagonal" or weights[name].shape[0] > 1):
                context[name] = ops.take(weights[name], row, axis=0)
        total = None
        for k in range(len(self.blocks)):
            lines = ops.take(weights[f"between_{k}"], row, axis=2)
            lines = ops.transpose(lines, (2, 0, 1, 3))[:, :, :, None]
            y = self._positions(ops.matmul(lines, past_rows[str(k)]))[:, 0]
            total = y if total is None else total + y
        if total is not None:
            context["past_sum"] = ops.transpose(total, (1, 0, 2))
        return context

    def step(self, weights, row_context, current_row, column, x):
        g, each, total = self.groups, self.per_group, x if self.residual else None
        if current_row:
            values = ops.transpose(ops.reshape(x, (-1, g, each)), (1, 0, 2))
            groups = ops.arange(g, dtype="int32")
            at = ops.stack([groups, ops.zeros_like(groups) + column], axis=1)
            values = ops.reshape(values, (g, -1))
            current_row = {"x": ops.scatter_update(current_row["x"], at, values)}
        if self.by_row:
            y = self._row_sum(row_context.get("row", weights["row"]), current_row["x"], column)
            total = y if total is None else total + y
        if "diagonal" in row_context:
            diagonal = row_context["diagonal"]
            if diagonal.shape[1] == 1:
                diagonal = diagonal[:, 0]
            else:
                diagonal = ops.take(diagonal, column, axis=1)
            y = ops.repeat(diagonal, each, axis=-1) * x
            total = y if total is None else total + y
        if "past_sum" in row_context:
            y = ops.take(row_context["past_sum"], column, axis=0)
            total = y if total is None else total + y
        return ops.zeros_like(x) if total is None else total, current_row

    def _row_sum(self, matrix, past, column):
        """Returns the sum over the row's positions up to a column: `[batch, width]`."""
        g, n = self.groups, self.num_columns
        if self.shift:
            zero, size = ops.zeros_like(column), matrix.shape[0] or ops.shape(matrix)[0]
            line = ops.slice(matrix, (zero, zero, n - 1 - column), (size, g, n))
        else:
            line = ops.take(matrix, column, axis=2)
        if matrix.shape[0] == 1:
            y = ops.matmul(ops.transpose(line, (1, 0, 2)), past)
        else:
            # Each row has its own kernel, and contexts are at different rows.
            past = ops.reshape(past, (g, n, -1, self.per_group))
            y = ops.sum(ops.transpose(line, (1, 2, 0))[..., None] * past, axis=1)
        y = ops.transpose(ops.reshape(y, (g, -1, self.per_group)), (1, 0, 2))
        return ops.reshape(y, (-1, self.width))

    def finish_row(self, weights, past_rows, row, current_row):
        if not self.blocks:
            return past_rows
        x = ops.reshape(current_row["x"], (self.groups, self.num_columns, -1, self.per_group))
        x = ops.reshape(ops.transpose(x, (2, 1, 0, 3)), (-1, 1, self.num_columns, self.width))
        rows = {}
        for k, j in enumerate(self.blocks):
            inside = weights.get(f"inside_{k}")
            if inside is not None and inside.shape[0] > 1:
                inside = ops.take(inside, row, axis=0)[:, None]
            z = self._summaries(inside, j, x)
            rows[str(k)] = ops.where(self.is_row(row, 2, 1), z, past_rows[str(k)])
        return rows

    def prefill(self, weights, x):
        rows = x.shape[1]
        total = self._within_rows({k: weights[k][:rows] for k in OF_ROWS if k in weights}, x)
        past_rows = {}
        for k, j in enumerate(self.blocks):
            z = self._summaries(weights.get(f"inside_{k}"), j, x)
            total = total + self._positions(
                ops.matmul(weights[f"between_{k}"][None, :, :, :rows, :rows], z)
            )
            past_rows[str(k)] = ops.pad(z, [[0, 0]] * 3 + [[0, self.num_rows - rows], [0, 0]])
        return total, past_rows

    def read(self, weights, x, row=None, past_rows=None, first=None):
        if past_rows is None:
            return self.prefill(weights, x)
        here = ops.arange(x.shape[1], dtype="int32") + first

        def of_rows(value):
            return value if value.shape[0] == 1 else ops.take(value, here, axis=0)

        total = self._within_rows({k: of_rows(weights[k]) for k in OF_ROWS if k in weights}, x)
        rows = {}
        for k, j in enumerate(self.blocks):
            inside = weights.get(f"inside_{k}")
            z = self._summaries(None if inside is None else of_rows(inside), j, x)
            # Rows are the first axis in an update.
            z, before = (ops.transpose(v, (3, 0, 1, 2, 4)) for v in (z, past_rows[str(k)]))
            past = ops.scatter_update(before, here[:, None], z)
            rows[str(k)] = past = ops.transpose(past, (1, 2, 3, 0, 4))
            lines = ops.take(weights[f"between_{k}"], here, axis=2)
            total = total + self._positions(ops.matmul(lines[None], past))
        return total, rows

    def _within_rows(self, weights, x):
        """Returns the part of the sum that needs no other rows, from the weights of x's rows."""
        rows, n = x.shape[1:3]
        total = x if self.residual else ops.zeros_like(x)
        if self.by_row:
            matrix = toeplitz(weights["row"]) if self.shift else weights["row"]
            y = ops.matmul(matrix[None, :, :, :n, :n], self._grouped(x))
            y = ops.transpose(y, (0, 1, 3, 2, 4))
            total = total + ops.reshape(y, (-1, rows, n, self.width))
        if "diagonal" in weights:
            diagonal = weights["diagonal"][None, :, :n]
            total = total + ops.repeat(diagonal, self.per_group, axis=-1) * x
        return total

    def _grouped(self, x):
        """Reshapes `[batch, rows, n, width]` to `[batch, rows, G, n, width / G]`."""
        x = ops.reshape(x, (-1, *x.shape[1:3], self.groups, self.per_group))
        return ops.transpose(x, (0, 1, 3, 2, 4))

    def _summaries(self, inside, j, x):
        """Summarizes rows `x` `[batch, rows, n, width]` as `[batch, J, G, rows, values]`."""
        rows = x.shape[1]
        x = self._grouped(x)
        if inside is not None:
            inside = inside[:, :rows] if len(inside.shape) == 5 else inside[None, :rows]
            x = ops.matmul(inside, x)
        x = ops.reshape(x, (-1, rows, self.groups, j, self._rest(j)))
        return ops.transpose(x, (0, 3, 2, 1, 4))

    def _positions(self, z):
        """Reshapes the layout of `_summaries` back to positions `[batch, rows, n, width]`."""
        j, rows = z.shape[1], z.shape[3]
        n, each = self.num_columns, self.per_group
        z = ops.reshape(z, (-1, j, self.groups, rows, n // j, each))
        z = ops.transpose(z, (0, 3, 1, 4, 2, 5))
        return ops.reshape(z, (-1, rows, n, self.width))


class LinearLayerCache(LinearMixCache):
    """Caches any layer that is linear along one axis and does not mix channels.

    Its matrix is computed by applying the layer to one-hot inputs.

    Args:
        layer: Keras layer, called with `causal=True`.
        axis: int, the context axis that the layer mixes, from 1.
        groups: int, number of channel groups, each with its own kernels.
        separate: bool, whether every position has its own kernel.
        grid, width, columns: As in `DecodingCache`.
    """

    def __init__(self, layer, axis, groups, separate, grid, width, columns):
        self.layer, self.separate = layer, separate
        by_row = columns and axis == len(grid)
        self.block_columns = grid[-1] if separate else 1
        blocks = [] if by_row else [self.block_columns]
        super().__init__(grid, width, columns, groups, blocks=blocks, by_row=by_row)

    def matrices(self):
        rows, n = self.num_rows, self.num_columns
        if self.by_row:
            slower = self.grid[:-1] if self.separate else [1] * (len(self.grid) - 1)
            answers = self._answers((*[1] * len(slower), n), (*slower, 1))
            answers = ops.reshape(answers, (n, rows if self.separate else 1, n, self.groups))
            return {"row": ops.transpose(answers, (1, 3, 2, 0)), "blocks": []}
        ones = [1] * (len(self.grid) - 1)
        answers = self._answers((*self.grid[:-1], 1), (*ones, self.block_columns))
        answers = ops.reshape(answers, (rows, rows, self.block_columns, self.groups))
        between, diagonal = split_diagonal(ops.transpose(answers, (2, 3, 1, 0)))
        return {"diagonal": diagonal, "blocks": [(None, between)]}

    def _answers(self, shape, times):
        """Applies the layer to one-hot grids, one per position of `shape`.

        Args:
            shape: tuple of ints, sizes of the one-hot grid.
            times: tuple of ints, repetitions along each axis.

        Returns:
            Tensor `[positions, *grid, G]`.
        """
        size = math.prod(shape)
        one_hot = ops.eye(size, dtype=self.layer.compute_dtype)
        one_hot = ops.reshape(one_hot, (size, *shape[: len(self.layer_grid)], 1))
        one_hot = ops.tile(one_hot, (1, *times[: len(self.layer_grid)], self.width))
        # All channels of a group have the same response: take one of each.
        return self.layer(one_hot, causal=True)[..., :: self.per_group]


def split_diagonal(between):
    """Splits `[J, G, R, R]` into a matrix with zero diagonal and the diagonal `[R, J, G]`."""
    unit = ops.eye(between.shape[-1], dtype=between.dtype)
    diagonal = ops.transpose(ops.sum(between * unit, axis=-1), (2, 0, 1))
    return between * (1 - unit), diagonal
