"""What a causal mixer keeps of the positions before one, so that a position costs one position.

A row is all positions of the fastest axis. Of the row at hand a mixer keeps what it mixes, column
by column; of whole rows what they give to later ones, taken once for each row.
"""

import math

from keras import ops

from mdnn.layers.axis_matrices import axis_matrices
from mdnn.layers.wiring import toeplitz


class Past:
    """What one stage of a mixer keeps. Everything runs inside a compiled function.

    What is handed to and fro are dicts of tensors:

    - `prepared`: made of the weights, once before all loops;
    - `rows`: kept of whole rows; what it has of the row at hand and later ones does not matter;
    - `given`: what whole rows, and its own place, give to the row at hand;
    - `kept`: of the row at hand; what it has of the column at hand and later ones does not matter.

    The number of a row is int32 `[batch]`, or `[1]` where all contexts are at the same one.

    Args:
        grid: tuple of ints, the sizes of the context's axes.
        width: int, channels.

    Attributes:
        row: int, n, positions of a row.
        rows: int, R, how many rows there are.
        shortens: whether `whole` takes the first rows (or, of a single row, columns) alone.
    """

    shortens = True

    def __init__(self, grid, width):
        self.grid, self.width = tuple(grid), width
        self.row, self.rows = grid[-1], math.prod(grid[:-1])

    def prepare(self):
        """`prepared`."""
        return {}

    def no_rows(self, batch, dtype):
        """`rows` before there is any."""
        return {}

    def empty(self, batch, dtype):
        """`kept` before the first column."""
        return {}

    def begin(self, prepared, rows, row):
        """`given` for a row."""
        return {}

    def column(self, prepared, given, kept, number, x):
        """The output for `x` `[batch, width]` of column `number`, and the new `kept`."""
        raise NotImplementedError

    def end(self, prepared, rows, row, kept):
        """`rows` with one more row, whose columns all ran."""
        return rows

    def whole(self, prepared, x):
        """The output for rows `x` `[batch, R, n, width]`, and `rows`."""
        raise NotImplementedError

    def kept_of(self, x, row):
        """`kept` of row `row`, its inputs `x` `[batch, n, width]`, perhaps of its first columns."""
        return {}

    def is_row(self, row, before=0, after=0):
        """Which of R rows is `row`: bool `[batch or 1, 1.., R, 1..]`, with so many axes of 1."""
        here = ops.equal(ops.arange(self.rows, dtype="int32")[None], row[:, None])
        return ops.reshape(here, (-1, *[1] * before, self.rows, *[1] * after))

    def to_columns(self, x):
        """Pads the first columns of a row, `[batch, n, ...]`, to all of them."""
        rest = [[0, 0]] * (len(x.shape) - 2)
        return ops.pad(x, [[0, 0], [0, self.row - x.shape[1]], *rest])


class OwnKernels(Past):
    """A dense over the channels that each position has for itself: it has no past."""

    def __init__(self, mixer, grid, width):
        super().__init__(grid, width)
        self.mixer = mixer

    def prepare(self):
        (((_, kernel),),), _ = axis_matrices(self.mixer, (None, *self.grid, self.width))
        if "shift" in self.mixer.wiring.split("+"):
            kernel = toeplitz(kernel)
        return {"kernel": ops.reshape(kernel, (self.rows, self.row, self.width, self.width))}

    def begin(self, prepared, rows, row):
        return {"kernel": ops.take(prepared["kernel"], row, axis=0)}

    def column(self, prepared, given, kept, number, x):
        kernel = ops.take(given["kernel"], number, axis=1)
        return ops.matmul(x[:, None], kernel)[:, 0], kept

    def whole(self, prepared, x):
        kernel = prepared["kernel"][None, : x.shape[1], : x.shape[2]]
        return ops.matmul(x[..., None, :], kernel)[..., 0, :], {}


class Summed(Past):
    """A weighted sum over the past: what every mixer but attention is.

    The channels are G groups of neighbours with kernels of their own. Subclasses say in `parts`
    what is summed:

    - `row` `[1 or R, G, n, n]` (out, in), over the row's positions; with `shift` by distance,
      `[1 or R, G, 2 n - 1]`;
    - `own` `[R, J, G]`, the position itself, J being 1 or n;
    - `blocks`, whole rows, for each axis on which they come earlier a pair: `inside`
      `[1 or R, G, n, n]` (out, in) or `None`, what is taken of a row, and `between`
      `[J, G, R, R]` (out, in), the sum over rows.

    Args:
        groups: int, G.
        blocks: list of ints, J of each of `blocks`.
        by_row: whether there is `row`.
        shift: whether it is by distance.
        residual: whether the sum is added to the input.
    """

    def __init__(self, grid, width, groups, blocks=(), by_row=True, shift=False, residual=False):
        super().__init__(grid, width)
        self.groups, self.each = groups, width // groups
        self.blocks = list(blocks) if self.rows > 1 else []
        self.by_row, self.shift, self.residual = by_row, shift, residual

    def parts(self):
        """What is summed, a dict; see the class."""
        raise NotImplementedError

    def prepare(self):
        parts = self.parts()
        for number, (inside, between) in enumerate(parts.pop("blocks")[: len(self.blocks)]):
            parts[f"between_{number}"] = between
            if inside is not None:
                parts[f"inside_{number}"] = inside
        if self.shift:
            # From the other end a line of the matrix is a piece of the distances.
            parts["row"] = ops.flip(parts["row"], axis=-1)
        return parts

    def no_rows(self, batch, dtype):
        return {
            str(k): ops.zeros((batch, j, self.groups, self.rows, self._rest(j)), dtype)
            for k, j in enumerate(self.blocks)
        }

    def _rest(self, j):
        return self.row // j * self.each

    def empty(self, batch, dtype):
        if not self.by_row and not self.blocks:
            return {}
        return {"x": ops.zeros((self.groups, self.row, batch * self.each), dtype)}

    def kept_of(self, x, row):
        if not self.by_row and not self.blocks:
            return {}
        x = ops.reshape(self.to_columns(x), (-1, self.row, self.groups, self.each))
        x = ops.transpose(x, (2, 1, 0, 3))
        return {"x": ops.reshape(x, (self.groups, self.row, -1))}

    def begin(self, prepared, rows, row):
        given = {}
        for name in ("row", "own"):
            if name in prepared and (name == "own" or prepared[name].shape[0] > 1):
                given[name] = ops.take(prepared[name], row, axis=0)
        total = None
        for k in range(len(self.blocks)):
            lines = ops.take(prepared[f"between_{k}"], row, axis=2)
            lines = ops.transpose(lines, (2, 0, 1, 3))[:, :, :, None]
            y = self._slots(ops.matmul(lines, rows[str(k)]))[:, 0]
            total = y if total is None else total + y
        if total is not None:
            given["added"] = ops.transpose(total, (1, 0, 2))
        return given

    def column(self, prepared, given, kept, number, x):
        g, each, total = self.groups, self.each, x if self.residual else None
        if kept:
            values = ops.transpose(ops.reshape(x, (-1, g, each)), (1, 0, 2))
            groups = ops.arange(g, dtype="int32")
            at = ops.stack([groups, ops.zeros_like(groups) + number], axis=1)
            values = ops.reshape(values, (g, -1))
            kept = {"x": ops.scatter_update(kept["x"], at, values)}
        if self.by_row:
            y = self._line(given.get("row", prepared["row"]), kept["x"], number)
            total = y if total is None else total + y
        if "own" in given:
            own = given["own"]
            own = own[:, 0] if own.shape[1] == 1 else ops.take(own, number, axis=1)
            y = ops.repeat(own, each, axis=-1) * x
            total = y if total is None else total + y
        if "added" in given:
            y = ops.take(given["added"], number, axis=0)
            total = y if total is None else total + y
        return ops.zeros_like(x) if total is None else total, kept

    def _line(self, matrix, past, number):
        """The sum over a row's positions up to column `number`: `[batch, width]`."""
        g, n = self.groups, self.row
        if self.shift:
            zero, size = ops.zeros_like(number), matrix.shape[0] or ops.shape(matrix)[0]
            line = ops.slice(matrix, (zero, zero, n - 1 - number), (size, g, n))
        else:
            line = ops.take(matrix, number, axis=2)
        if matrix.shape[0] == 1:
            y = ops.matmul(ops.transpose(line, (1, 0, 2)), past)
        else:
            # A kernel for each row, and contexts at different rows.
            past = ops.reshape(past, (g, n, -1, self.each))
            y = ops.sum(ops.transpose(line, (1, 2, 0))[..., None] * past, axis=1)
        y = ops.transpose(ops.reshape(y, (g, -1, self.each)), (1, 0, 2))
        return ops.reshape(y, (-1, self.width))

    def end(self, prepared, rows, row, kept):
        if not self.blocks:
            return rows
        x = ops.reshape(kept["x"], (self.groups, self.row, -1, self.each))
        x = ops.reshape(ops.transpose(x, (2, 1, 0, 3)), (-1, 1, self.row, self.width))
        found = {}
        for k, j in enumerate(self.blocks):
            inside = prepared.get(f"inside_{k}")
            if inside is not None and inside.shape[0] > 1:
                inside = ops.take(inside, row, axis=0)[:, None]
            z = self._taken(inside, j, x)
            found[str(k)] = ops.where(self.is_row(row, 2, 1), z, rows[str(k)])
        return found

    def whole(self, prepared, x):
        rows, n = x.shape[1:3]
        total = x if self.residual else ops.zeros_like(x)
        if self.by_row:
            matrix = toeplitz(prepared["row"]) if self.shift else prepared["row"]
            matrix = matrix[None, :rows, :, :n, :n]
            y = ops.transpose(ops.matmul(matrix, self._grouped(x)), (0, 1, 3, 2, 4))
            total = total + ops.reshape(y, (-1, rows, n, self.width))
        if "own" in prepared:
            own = prepared["own"][None, :rows, :n]
            total = total + ops.repeat(own, self.each, axis=-1) * x
        found = {}
        for k, j in enumerate(self.blocks):
            z = self._taken(prepared.get(f"inside_{k}"), j, x)
            total = total + self._slots(
                ops.matmul(prepared[f"between_{k}"][None, :, :, :rows, :rows], z)
            )
            found[str(k)] = ops.pad(z, [[0, 0]] * 3 + [[0, self.rows - rows], [0, 0]])
        return total, found

    def _grouped(self, x):
        """`[batch, rows, n, width]` as `[batch, rows, G, n, width / G]`."""
        x = ops.reshape(x, (-1, *x.shape[1:3], self.groups, self.each))
        return ops.transpose(x, (0, 1, 3, 2, 4))

    def _taken(self, inside, j, x):
        """What is taken of `x` `[batch, rows, n, width]`: `[batch, J, G, rows, values]`."""
        rows = x.shape[1]
        x = self._grouped(x)
        if inside is not None:
            inside = inside[:, :rows] if len(inside.shape) == 5 else inside[None, :rows]
            x = ops.matmul(inside, x)
        x = ops.reshape(x, (-1, rows, self.groups, j, self._rest(j)))
        return ops.transpose(x, (0, 3, 2, 1, 4))

    def _slots(self, z):
        """What `_taken` gives as positions again: `[batch, rows, n, width]`."""
        j, rows = z.shape[1], z.shape[3]
        z = ops.reshape(z, (-1, j, self.groups, rows, self.row // j, self.each))
        z = ops.transpose(z, (0, 3, 1, 4, 2, 5))
        return ops.reshape(z, (-1, rows, self.row, self.width))


def put(kept, at, value):
    """`kept` `[size, ...]` with `value` at place `at` of its first axis.

    Not `slice_update`: on TensorFlow it is an operation of XLA, which a server may be without.
    """
    return ops.scatter_update(kept, ops.reshape(at, (1, 1)), value[None])


def split_diagonal(between):
    """`[J, G, R, R]` without its diagonal, and the diagonal `[R, J, G]`."""
    diagonal = ops.eye(between.shape[-1], dtype=between.dtype)
    own = ops.transpose(ops.sum(between * diagonal, axis=-1), (2, 0, 1))
    return between * (1 - diagonal), own
