"""A causal fold, one row at a time: what earlier rows gave is kept, not computed again."""

from keras import ops

from mdnn.models.blocks import product
from mdnn.models.mixing import MixingBlock


class FoldedRows:
    """Runs one use of a fold row by row, each context at a row of its own.

    Where the rows are one axis that dense mixers mix, of every mixer the inputs of earlier rows
    are kept and a new row costs one row. Otherwise all rows are mixed again for each.

    Args:
        branch: a built `mdnn.models.fold.RowBottleneck`.
        slower: tuple of ints, the sizes of the axes that rows lie on.
    """

    def __init__(self, branch, slower):
        self.branch, self.slower = branch, tuple(slower)
        self.rows = product(self.slower)
        self.mixers = [
            (inner, mixer, spec)
            for inner in branch.branches
            if isinstance(inner, MixingBlock)
            for mixers in inner.sets
            for _ in range(inner.times)
            for mixer, spec in zip(mixers, inner.mixers, strict=True)
            if -1 not in spec["axes"]
        ]
        separate = any(
            spec["sharing"] == "separate"
            for inner in branch.branches
            if isinstance(inner, MixingBlock)
            for spec in inner.mixers
        )
        dense = all(spec["kind"] == "dense" for _, _, spec in self.mixers)
        self.stepwise = len(self.slower) == 1 and dense and not separate
        # How many tensors it keeps.
        self.size = 1 + (len(self.mixers) if self.stepwise else 1)

    def none(self, batch, dtype):
        """What is kept before there is any row: a list of `[batch, rows, width]`."""
        return [ops.zeros((batch, self.rows, self.branch.width), dtype) for _ in range(self.size)]

    def all(self, x):
        """Runs all rows: the branch's output, and what is kept; `x` `[batch, grid, channels]`."""
        branch, inputs = self.branch, []
        u = branch.fold_rows(branch.normed(x))
        if self.stepwise:
            v = self._run(ops.reshape(u, (-1, self.rows, branch.width)), self._recorded(inputs))
        else:
            inputs.append(ops.reshape(u, (-1, self.rows, branch.width)))
            v = branch.mix_rows(u, True, False)
        before = ops.pad(v[:, :-1], [[0, 0], [1, 0], [0, 0]])
        y = ops.reshape(branch.dense_out(branch.from_before(before)), ops.shape(x))
        return branch(x, folded=y), [*inputs, v]

    def addition(self, kept, row):
        """What the fold adds to one row of each context: `[batch, columns * channels]`.

        Args:
            kept: list of tensors; rows from `row` on do not matter.
            row: int32 `[batch]`.
        """
        # Of row 0 nothing: there are zeros before the first.
        v = ops.where(self._here(row - 1), kept[-1], ops.zeros_like(kept[-1]))
        return self.branch.dense_out(self.branch.from_before(ops.sum(v, axis=1)))

    def with_row(self, kept, row, x):
        """`kept` with one more row of each context.

        Args:
            kept, row: as for `addition`.
            x: `[batch, columns * channels]`, the normed input of the row.
        """
        here, u = self._here(row), self.branch.dense_in(x)[:, None]
        if not self.stepwise:
            u = ops.where(here, u, kept[0])
            grid = ops.reshape(u, (-1, *self.slower, self.branch.width))
            return [u, self.branch.mix_rows(grid, True, False)]
        inputs = []

        def mix(inner, mixer, spec, x):
            past = ops.where(here, x, kept[len(inputs)])
            inputs.append(past)
            kernel = mixer_kernel(inner, mixer, spec, self.rows, (self.rows,))
            groups = kernel.shape[0]
            lines = ops.transpose(ops.take(kernel, row, axis=1), (1, 0, 2))[:, :, None]
            past = ops.reshape(past, (-1, self.rows, groups, self.branch.width // groups))
            y = ops.matmul(lines, ops.transpose(past, (0, 2, 1, 3)))
            return ops.reshape(y, (-1, 1, self.branch.width))

        v = self._run(u, mix)
        return [*inputs, ops.where(here, v, kept[-1])]

    def _here(self, row):
        rows = ops.arange(self.rows, dtype="int32")
        return ops.equal(rows[None, :], row[:, None])[..., None]

    def _recorded(self, inputs):
        def mix(inner, mixer, spec, x):
            inputs.append(x)
            return inner.mixed(mixer, spec, x, True)

        return mix

    def _run(self, u, mix):
        """The fold's branches on rows, `mix` standing in for mixers along them."""
        for inner in self.branch.branches:
            if isinstance(inner, MixingBlock):
                u = run_mixing(inner, u, mix)
            else:
                u = inner(u, causal=True, training=False)
        return u


def run_mixing(branch, x, mix):
    """A `MixingBlock` whose mixers along an axis are `mix(branch, mixer, spec, input)`."""

    def one(mixer, spec, x):
        if -1 in spec["axes"]:
            return branch.mixed(mixer, spec, x, True)
        return mix(branch, mixer, spec, x)

    return branch.add(x, branch.transform(branch.normed(x), True, False, mix=one), False)


def groups_of(spec):
    """How many kernels a mixer has side by side, each for as many channels."""
    return spec["groups"] if spec["kind"] == "dense" and spec["sharing"] == "groups" else 1


def mixer_kernel(branch, mixer, spec, size, axes):
    """The causal matrix of a dense mixer along one axis, `[groups, size out, size in]`.

    Args:
        branch: the `MixingBlock` that has it.
        mixer: the layer.
        spec: its table.
        size: int, of the axis.
        axes: sizes of all axes but the channels, the mixed one last.
    """
    groups = groups_of(spec)
    # The same for all channels of a group: one channel each shows it.
    units = ops.reshape(ops.eye(size, dtype=branch.compute_dtype), (size, *axes, 1))
    units = ops.repeat(units, groups, axis=-1)
    answers = ops.reshape(branch.mixed(mixer, spec, units, True), (size, size, groups))
    return ops.transpose(answers, (2, 1, 0))
