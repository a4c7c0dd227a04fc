"""Caches a causal dense layer along all of at least three axes, in memory linear in positions."""

import math

from keras import ops

from mdnn.layers.axis_product import axis_product
from mdnn.layers.mixing.dense_cache import DenseCache


class AxesCache(DenseCache):
    """Caches a parallel `MultidimDense` along all context axes, with one kernel or one per group.

    The term of a slow axis k adds, to each position, a weighted sum over the slabs before its own:
    a slab is all positions of one index on axis k and on the axes slower than k, mixed along the
    axes faster than k. Cached are the mixed slabs `"k"` `[G, n_k, batch, rows, n, width / G]` of
    the current index on the slower axes; rows are those of a slab. The current slab holds what its
    completed rows contribute. This is about the context once, where `DenseCache` has matrices
    between all pairs of rows.

    Args:
        layer, kernels, grid, width: As in `DenseCache`.
    """

    def __init__(self, layer, kernels, grid, width):
        super().__init__(layer, kernels, grid, width, columns=True, stage=None)
        self.slow = range(len(grid) - 1)
        # Rows of a slab of each slow axis.
        self.rows_of = [math.prod(grid[k + 1 : -1]) for k in self.slow]

    @staticmethod
    def fits(layer, grid):
        """Returns whether this class caches a layer on a grid."""
        plan, rank = layer.plan, len(grid)
        over = {axis for term in plan.terms for step in term for axis in step.over}
        return (
            rank > 2
            and plan.execution == "parallel"
            and [term[-1].axis for term in plan.terms] == list(range(1, rank + 1))
            and over <= {rank + 1}
        )

    def by_row_pairs(self):
        """Returns the `DenseCache` of the same layer."""
        return DenseCache(self.layer, self.kernels, self.grid, self.width, True, None)

    def prepare_weights(self):
        weights = {}
        for k, term in enumerate(self.layer.causal_kernels()):
            for step, kernel in term:
                matrix = self._matrix(kernel)
                size = matrix.shape[-1]
                weights[f"{k}_{step.axis - 1}"] = ops.reshape(matrix, (-1, size, size))
                if k == len(self.grid) - 1:
                    row = kernel if self.shift else ops.swapaxes(kernel, -1, -2)
                    row = self._by_rows(row, step)
                    weights["row"] = ops.flip(row, axis=-1) if self.shift else row
        return weights

    def empty_rows(self, batch, dtype):
        return {str(k): ops.zeros(self._shape(k, batch), dtype) for k in self.slow}

    def empty_reading(self, batch, dtype):
        return {"0": ops.zeros(self._shape(0, batch), dtype)}

    def _shape(self, k, batch):
        each = self.num_columns, self.per_group
        return self.groups, self.grid[k], batch, self.rows_of[k], *each

    def _index(self, k, row):
        """Returns the index of a row on axis k, and its number within a slab of that axis."""
        return row // self.rows_of[k] % self.grid[k], row % self.rows_of[k]

    def start_row(self, weights, past_rows, row):
        total = None
        for k in self.slow:
            index, inside = self._index(k, row)
            slabs, lines = past_rows[str(k)], ops.take(weights[f"{k}_{k}"], index, axis=2)
            if row.shape[0] == 1:
                slabs = ops.take(slabs, inside[0], axis=3)
            else:
                batch, rows = ops.shape(slabs)[2], self.rows_of[k]
                shape = self.groups, self.grid[k], -1, self.num_columns, self.per_group
                at = ops.arange(batch, dtype="int32") * rows + inside
                slabs = ops.take(ops.reshape(slabs, shape), at, axis=2)
            y = ops.sum(lines[..., None, None] * slabs, axis=1)
            total = y if total is None else total + y
        total = ops.transpose(total, (2, 1, 0, 3))
        return {"past_sum": ops.reshape(total, (self.num_columns, -1, self.width))}

    def finish_row(self, weights, past_rows, row, current_row):
        g, n, last = self.groups, self.num_columns, len(self.grid) - 1
        rows = {}
        for k in self.slow:
            index, inside = self._index(k, row)
            mixed = ops.matmul(ops.swapaxes(weights[f"{k}_{last}"], -1, -2), current_row["x"])
            mixed = ops.transpose(ops.reshape(mixed, (g, n, -1, self.per_group)), (0, 2, 1, 3))
            new = self._factors(weights, k, row)[..., None, None] * mixed[:, :, None]
            slabs, first = past_rows[str(k)], ops.equal(inside, 0)[:, None, None, None]
            if row.shape[0] == 1:
                before = ops.take(slabs, index[0], axis=1)
                new = new + ops.where(first, ops.zeros_like(before), before)
                rows[str(k)] = self._set(slabs, index, new[:, None])
                continue
            here = ops.equal(ops.arange(self.grid[k], dtype="int32")[:, None], index[None])
            here = here[..., None, None, None]
            new = new[:, None] + ops.where(first, ops.zeros_like(slabs), slabs)
            rows[str(k)] = ops.where(here, new, slabs)
        return rows

    def _factors(self, weights, k, row):
        """Returns the factor of a row for each row of its slab, `[G, batch or 1, rows]`."""
        shape = self.groups, row.shape[0] or -1
        factors = ops.ones((self.groups, ops.shape(row)[0], 1), self.layer.compute_dtype)
        for axis in range(k + 1, len(self.grid) - 1):
            line = ops.take(weights[f"{k}_{axis}"], self._index(axis, row)[0], axis=1)
            size = factors.shape[2] * self.grid[axis]
            factors = ops.reshape(factors[..., None] * line[:, :, None], (*shape, size))
        return factors

    def _set(self, slabs, index, new):
        """Returns slabs `[G, n_k, ...]` with new ones `[G, s, ...]` at an index, int32 `[1]`."""
        g, count = self.groups, new.shape[1]
        groups = ops.repeat(ops.arange(g, dtype="int32"), count)
        numbers = ops.tile(ops.arange(count, dtype="int32") + index, [g])
        at = ops.stack([groups, numbers], axis=1)
        return ops.scatter_update(slabs, at, ops.reshape(new, (g * count, *slabs.shape[2:])))

    def prefill(self, weights, x):
        row = ops.full((1,), x.shape[1], dtype="int32")
        return self.read(weights, x, row)

    def read(self, weights, x, row=None, past_rows=None, first=None):
        rows, n, last = x.shape[1], self.num_columns, len(self.grid) - 1
        start = ops.zeros((1,), "int32") if first is None else first
        sizes = self._sizes(rows, past_rows is not None)
        padding = math.prod(sizes) - rows
        grid = ops.pad(x, [[0, 0], [0, padding], [0, 0], [0, 0]]) if padding else x
        shape = -1, *sizes, n, self.groups, self.per_group
        grid = ops.reshape(grid, shape)
        y = self._product(grid, weights, last, last)
        for k in range(1, last):
            # With a single index on an axis, no slab of that axis comes before it.
            if sizes[k] > 1:
                z = self._mixed(grid, weights, k, sizes)
                y = y + self._product(z, weights, k, k, sizes)
        before = grid
        if row is not None:
            number = ops.arange(math.prod(sizes), dtype="int32")[None] + start
            seen = ops.reshape(number < row[:, None], (-1, *sizes, 1, 1, 1))
            before = ops.where(seen, grid, ops.zeros_like(grid))
        new = self._slabs(self._mixed(before, weights, 0))
        if past_rows is not None:
            slabs = self._set(past_rows["0"], start // self.rows_of[0], new)
        else:
            slabs = self._padded(new, 0)
        if past_rows is not None or sizes[0] > 1:
            numbers = ops.arange(sizes[0], dtype="int32") + start // self.rows_of[0]
            lines = ops.swapaxes(ops.take(weights["0_0"], numbers, axis=2), -1, -2)
            flat = ops.reshape(slabs, (self.groups, self.grid[0], -1))
            of_slabs = ops.reshape(
                ops.matmul(lines, flat), (self.groups, sizes[0], -1, *sizes[1:], n, self.per_group)
            )
            y = y + ops.transpose(of_slabs, (2, 1, *range(3, last + 3), 0, last + 3))
        y = ops.reshape(y, (-1, math.prod(sizes), n, self.width))[:, :rows]
        past = {"0": slabs}
        if row is not None:
            for k in range(1, last):
                one = self._slab_of(before, k, sizes, row - start)
                past[str(k)] = self._padded(self._slabs(self._mixed(one, weights, k), k), k)
        return y, past

    def _sizes(self, rows, whole):
        """Returns the sizes of the slow axes of the smallest grid that has the first `rows` rows.

        Args:
            rows: int.
            whole: bool, whether all axes but the slowest have their full size.
        """
        sizes, slab = [1] * len(self.slow), 1
        for axis in reversed(self.slow):
            sizes[axis] = min(self.grid[axis], -(-rows // slab))
            slab *= self.grid[axis]
            if rows <= slab and not whole:
                break
        return tuple(sizes)

    def _product(self, grid, weights, k, axis, sizes=None):
        """Multiplies the first entries of an axis by the kernel of term k along it.

        Args:
            grid: Tensor `[batch, ..., n, G, width / G]`, whose axis number `axis + 1` is mixed.
            sizes: tuple of ints, the sizes of the result's slow axes; `None` for the whole axis.
        """
        kernel = weights[f"{k}_{axis}"][:, : grid.shape[axis + 1]]
        if sizes is not None:
            kernel = kernel[:, :, : sizes[axis]]
        channels = len(grid.shape) - 2
        if kernel.shape[0] == 1:
            return axis_product(grid, kernel[0], axis + 1)
        return axis_product(grid, kernel, axis + 1, (channels,))

    def _mixed(self, grid, weights, k, sizes=None):
        """Mixes the axes faster than k by the kernels of term k."""
        last = len(self.grid) - 1
        grid = self._product(grid, weights, k, last)
        for axis in range(last - 1, k, -1):
            grid = self._product(grid, weights, k, axis, sizes)
        return grid

    def _slabs(self, grid, k=0):
        """Returns `[G, size of axis k, batch, rows, n, width / G]` of a mixed grid."""
        last, size = len(self.grid) - 1, grid.shape[k + 1]
        # Axes slower than k have one entry.
        others = [axis for axis in range(1, last + 2) if axis != k + 1]
        grid = ops.transpose(grid, (last + 2, k + 1, 0, *others, last + 3))
        each = self.num_columns, self.per_group
        return ops.reshape(grid, (self.groups, size, -1, self.rows_of[k], *each))

    def _padded(self, slabs, k):
        rest = self.grid[k] - slabs.shape[1]
        return ops.pad(slabs, [[0, 0], [0, rest], *[[0, 0]] * 4]) if rest else slabs

    def _slab_of(self, grid, k, sizes, row):
        """Returns the part of a grid that has the indices of a row on the axes slower than k.

        Args:
            grid: Tensor `[batch, *sizes, n, G, width / G]`.
            row: int32 `[batch]` or `[1]`, the number of a row of the grid.
        """
        count, rest = math.prod(sizes[:k]), (*sizes[k:], *grid.shape[-3:])
        ones = [1] * k
        if count > 1:
            at = ops.minimum(row // math.prod(sizes[k:]), count - 1)
            flat = ops.reshape(grid, (-1, count, *rest))
            if row.shape[0] == 1:
                grid = ops.take(flat, at[0], axis=1)
            else:
                batch = ops.arange(ops.shape(flat)[0], dtype="int32")
                grid = ops.take(ops.reshape(grid, (-1, *rest)), batch * count + at, axis=0)
        return ops.reshape(grid, (-1, *ones, *rest))
