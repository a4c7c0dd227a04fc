"""The past that each kind of mixer keeps."""

import math

from keras import ops

from mdnn.layers.axis_attention import rotate
from mdnn.layers.axis_matrices import axis_matrices
from mdnn.layers.axis_product import axis_product
from mdnn.layers.multidim_plan import make_plan
from mdnn.layers.wiring import toeplitz
from mdnn.models.fold_cache import groups_of
from mdnn.models.pasts import OwnKernels, Past, Summed, put, split_diagonal


def pasts_of(mixer, spec, grid, width):
    """What one mixer keeps: a `Past` for each of its stages, which run one after another.

    Args:
        mixer: the layer.
        spec: its table.
        grid: tuple of ints, the sizes of the context's axes.
        width: int, channels.

    Returns:
        List of `Past`; empty where a position is mixed alone, and as every other one.
    """
    if -1 in spec["axes"]:
        return [OwnKernels(mixer, grid, width)] if spec["sharing"] == "separate" else []
    axes = tuple(spec["axes"]) or tuple(range(1, len(grid) + 1))
    if spec["kind"] == "attention":
        kind = AttendedRow if axes[0] == len(grid) else AttendedRows
        return [kind(mixer, grid, width, axes[0])]
    if spec["kind"] != "dense":
        return [SummedTaps(mixer, spec, grid, width, axes[0])]
    stages = [None] if spec["execution"] == "parallel" else range(len(axes))
    return [SummedAxes(mixer, groups_of(spec), grid, width, stage) for stage in stages]


class SummedAxes(Summed):
    """A `MultidimDense`, or one step of it where its axes are mixed one after another.

    Args:
        mixer: the layer.
        groups: int, channel groups as an axis of its input.
        stage: int, the step; `None` for all axes at once.
    """

    def __init__(self, mixer, groups, grid, width, stage):
        self.mixer, self.last = mixer, len(grid)
        self.shape = (None, *grid, *((groups, width // groups) if groups > 1 else (width,)))
        plan = make_plan(self.shape, mixer)
        self.terms = list(range(len(plan.order))) if stage is None else [stage]
        terms = [plan.terms[plan.order[number]] for number in self.terms]
        over = {axis for term in terms for step in term for axis in step.over}
        by_row = any(term[-1].axis == self.last for term in terms)
        # Kernels of earlier rows may differ from column to column.
        self.columns = [
            grid[-1] if any(self.last in s.over for s in term if s.axis != self.last) else 1
            for term in terms
            if term[-1].axis != self.last
        ]
        super().__init__(
            grid,
            width,
            self.shape[self.last + 1] if self.last + 1 in over else 1,
            blocks=self.columns,
            by_row=by_row,
            shift=by_row and "shift" in mixer.wiring.split("+"),
            residual=stage is not None and plan.residual[plan.order[stage]],
        )

    def parts(self):
        terms, _ = axis_matrices(self.mixer, self.shape)
        found = {"blocks": []}
        for term in (terms[number] for number in self.terms):
            step, kernel = term[-1]
            if step.axis == self.last:
                found["row"] = kernel if self.shift else self._swapped(kernel)
                found["row"] = self._by_rows(found["row"], step)
                continue
            term = [(s, self._matrix(kernel)) for s, kernel in term]
            inside = [self._by_rows(self._swapped(k), s) for s, k in term if s.axis == self.last]
            slower = [(s, k) for s, k in term if s.axis != self.last]
            between = self._between(slower, self.columns[len(found["blocks"])])
            if step.part == "lower":
                between, found["own"] = split_diagonal(between)
            found["blocks"].append((inside[0] if inside else None, between))
        return found

    def _matrix(self, kernel):
        return toeplitz(kernel) if "shift" in self.mixer.wiring.split("+") else kernel

    def _swapped(self, kernel):
        return ops.swapaxes(kernel, -1, -2)

    def _by_rows(self, kernel, step):
        """A kernel along the fastest axis as `[1 or R, G, ...]`."""
        own = kernel.shape[len(step.over) :]
        rows = self.rows if any(axis < self.last for axis in step.over) else 1
        return ops.reshape(kernel, (rows, -1, *own))

    def _between(self, steps, columns):
        """What rows give to rows, `[J, G, R, R]` (out, in)."""
        units = ops.eye(self.rows, dtype=self.mixer.compute_dtype)
        units = ops.reshape(units, (self.rows, *self.grid[:-1], 1, 1))
        units = ops.tile(units, (*[1] * self.last, columns, self.groups))
        for step, kernel in steps:
            units = axis_product(units, kernel, step.axis, step.over)
        units = ops.reshape(units, (self.rows, self.rows, columns, self.groups))
        return ops.transpose(units, (2, 3, 1, 0))


class SummedTaps(Summed):
    """An `AxisConv` or `AxisLocal`: its matrix is what it makes of one position after another."""

    def __init__(self, mixer, spec, grid, width, axis):
        self.mixer, self.axis = mixer, axis
        self.separate = spec["kind"] == "local" and spec["sharing"] == "separate"
        groups = width
        if spec["kind"] == "local" and not self.separate:
            groups = spec["groups"] if spec["sharing"] == "groups" else 1
        by_row = axis == len(grid)
        self.columns = grid[-1] if self.separate else 1
        blocks = [] if by_row else [self.columns]
        super().__init__(grid, width, groups, blocks=blocks, by_row=by_row)

    def parts(self):
        if self.by_row:
            slower = self.grid[:-1] if self.separate else [1] * (len(self.grid) - 1)
            answers = self._answers((*[1] * len(slower), self.row, 1), (*slower, 1, self.width))
            rows = self.rows if self.separate else 1
            answers = ops.reshape(answers, (self.row, rows, self.row, self.groups))
            return {"row": ops.transpose(answers, (1, 3, 2, 0)), "blocks": []}
        ones = [1] * (len(self.grid) - 1)
        answers = self._answers((*self.grid[:-1], 1, 1), (*ones, self.columns, self.width))
        answers = ops.reshape(answers, (self.rows, self.rows, self.columns, self.groups))
        between, own = split_diagonal(ops.transpose(answers, (2, 3, 1, 0)))
        return {"own": own, "blocks": [(None, between)]}

    def _answers(self, shape, times):
        """The mixer's answers to units of a shape, one in each example, repeated so often."""
        size = math.prod(shape)
        units = ops.reshape(ops.eye(size, dtype=self.mixer.compute_dtype), (size, *shape))
        answers = self.mixer(ops.tile(units, (1, *times)), causal=True)
        # All channels of a group answer alike.
        return answers[..., :: self.each]


class _Attended(Past):
    """What both kinds of attention share.

    Args:
        mixer: an `AxisAttention`.
        axis: int, the context axis that it mixes, from 1.
    """

    def __init__(self, mixer, grid, width, axis):
        super().__init__(grid, width)
        self.mixer, self.axis = mixer, axis
        self.heads, self.each = mixer.heads, width // mixer.heads

    def _split(self, dense, x, place=None):
        """`[..., width]` projected, by heads `[..., heads, width / heads]`, and turned."""
        y = ops.reshape(dense(x), (*[-1 if s is None else s for s in x.shape[:-1]], *self._sizes))
        turned = self.mixer.rotary and place is not None
        return rotate(y, position=place) if turned else y

    @property
    def _sizes(self):
        return self.heads, self.each

    def _attend(self, q, k, v, seen):
        """`[batch, width]`: q `[batch, heads, h]`, k and v `[batch, heads, m, h]`, bool `seen`."""
        q = q[:, :, None] * (1 / math.sqrt(self.each))
        scores = ops.cast(ops.matmul(q, ops.swapaxes(k, -1, -2)), "float32")
        scores = ops.where(seen, scores, -1e9)
        weights = ops.cast(ops.softmax(scores, axis=-1), v.dtype)
        return self.mixer.result(ops.reshape(ops.matmul(weights, v), (-1, self.width)))


class AttendedRow(_Attended):
    """Attention along the rows: keys and values of the row at hand."""

    def empty(self, batch, dtype):
        shape = self.row, batch, self.heads, self.each
        return {"k": ops.zeros(shape, dtype), "v": ops.zeros(shape, dtype)}

    def kept_of(self, x, row):
        places = ops.arange(x.shape[1], dtype="int32")[:, None]
        found = {
            "k": self._split(self.mixer.key, x, places),
            "v": self._split(self.mixer.value, x),
        }
        return {k: ops.transpose(self.to_columns(y), (1, 0, 2, 3)) for k, y in found.items()}

    def column(self, prepared, given, kept, number, x):
        place = ops.reshape(number, (1, 1))
        new = {"k": self._split(self.mixer.key, x, place), "v": self._split(self.mixer.value, x)}
        kept = {name: put(kept[name], number, y) for name, y in new.items()}
        past = {name: ops.transpose(y, (1, 2, 0, 3)) for name, y in kept.items()}
        seen = ops.arange(self.row, dtype="int32") <= number
        q = self._split(self.mixer.query, x, place)
        return self._attend(q, past["k"], past["v"], seen), kept

    def whole(self, prepared, x):
        rows, n = x.shape[1:3]
        ones = [1] * (len(self.grid) - 2)
        shape = (-1, *ones, rows, n, self.width) if len(self.grid) > 1 else (-1, n, self.width)
        y = self.mixer(ops.reshape(x, shape), causal=True)
        return ops.reshape(y, (-1, rows, n, self.width)), {}


class AttendedRows(_Attended):
    """Attention along a slower axis: keys and values of all rows."""

    shortens = False

    def __init__(self, mixer, grid, width, axis):
        super().__init__(mixer, grid, width, axis)
        self.size, self.stride = grid[axis - 1], math.prod(grid[axis:-1])

    def _place(self, row):
        return row // self.stride % self.size

    def no_rows(self, batch, dtype):
        shape = batch, self.rows, self.row, self.width
        return {"k": ops.zeros(shape, dtype), "v": ops.zeros(shape, dtype)}

    def empty(self, batch, dtype):
        shape = self.row, batch, self.width
        return {"k": ops.zeros(shape, dtype), "v": ops.zeros(shape, dtype)}

    def kept_of(self, x, row):
        found = {
            "k": self._split(self.mixer.key, x, self._place(row)[:, None, None]),
            "v": self._split(self.mixer.value, x),
        }
        flat = -1, x.shape[1], self.width
        found = {k: self.to_columns(ops.reshape(y, flat)) for k, y in found.items()}
        return {k: ops.transpose(y, (1, 0, 2)) for k, y in found.items()}

    def begin(self, prepared, rows, row):
        place = self._place(row)
        index = ops.arange(self.size, dtype="int32")[None] * self.stride
        index = index + (row - place * self.stride)[:, None]
        found = {"place": place}
        for name, y in rows.items():
            if row.shape[0] == 1:
                y = ops.take(y, index[0], axis=1)
            else:
                first = ops.arange(ops.shape(y)[0], dtype="int32")[:, None] * self.rows
                y = ops.take(ops.reshape(y, (-1, self.row, self.width)), first + index, axis=0)
            found[name] = y
        return found

    def column(self, prepared, given, kept, number, x):
        place = given["place"]
        new = {
            "k": self._split(self.mixer.key, x, place[:, None]),
            "v": self._split(self.mixer.value, x),
        }
        places = ops.arange(self.size, dtype="int32")[None]
        own, past = ops.equal(places, place[:, None])[..., None, None], {}
        for name, y in new.items():
            kept = {**kept, name: put(kept[name], number, ops.reshape(y, (-1, self.width)))}
            before = ops.take(given[name], number, axis=2)
            before = ops.reshape(before, (-1, self.size, self.heads, self.each))
            past[name] = ops.transpose(ops.where(own, y[:, None], before), (0, 2, 1, 3))
        seen = (places <= place[:, None])[:, None, None]
        q = self._split(self.mixer.query, x, place[:, None])
        return self._attend(q, past["k"], past["v"], seen), kept

    def end(self, prepared, rows, row, kept):
        here = self.is_row(row, after=2)
        new = {name: ops.transpose(y, (1, 0, 2))[:, None] for name, y in kept.items()}
        return {name: ops.where(here, new[name], y) for name, y in rows.items()}

    def whole(self, prepared, x):
        y = self.mixer(ops.reshape(x, (-1, *self.grid, self.width)), causal=True)
        place = self._place(ops.arange(self.rows, dtype="int32"))[:, None, None]
        found = {
            "k": self._split(self.mixer.key, x, place),
            "v": self._split(self.mixer.value, x),
        }
        shape = -1, self.rows, self.row, self.width
        return ops.reshape(y, shape), {k: ops.reshape(y, shape) for k, y in found.items()}
