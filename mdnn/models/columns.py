"""A causal network, one slot at a time: what earlier slots gave is kept, not computed again."""

from keras import ops

from mdnn.models.branches import product
from mdnn.models.folding import FoldBranch
from mdnn.models.mixing import MixBranch


class Columns:
    """Runs a `row_wise` network slot by slot along a row, all contexts at the same column.

    Of every mixer the inputs of the row's earlier columns are kept, of every fold the row's inputs
    and the folded rows before; a slot costs the dense layers of one slot, the mixers' sums over
    one row and a share of the folds' row. Everything runs inside a compiled function.

    Args:
        parts: `mdnn.models.variants.Parts` whose `row_wise` is true.
        refeeds: int, steps; `None`: as the network was built.

    Attributes:
        row: int, slots of a row, the columns.
        rows: int, rows of one context.
    """

    def __init__(self, parts, refeeds=None):
        self.parts, self.steps = parts, refeeds or parts.refeeds
        self.prompts = any(getattr(branch, "prompts", False) for branch in parts.branches)
        self.grid = parts.grid[1:] if self.prompts else parts.grid
        self.row, self.rows = parts.row, product(self.grid[:-1])
        self.folds = [b for b in parts.branches if isinstance(b, FoldBranch)] * self.steps

    def kernels(self):
        """The matrix of each dense mixer, `[groups, columns out, columns in]`, else `None`.

        To be called once, before a loop over columns; in the order in which mixers run.
        """
        made = {}
        found = []
        for branch, mixer, spec, _ in self._mixers():
            if id(mixer) not in made:
                made[id(mixer)] = self._kernel(branch, mixer, spec)
            found.append(made[id(mixer)])
        return found

    def _mixers(self):
        """Each use of a mixer that has a past: branch, layer, table and channels."""
        for _ in range(self.steps):
            for branch in self.parts.branches:
                if not isinstance(branch, MixBranch):
                    continue
                for mixers in branch.sets:
                    for _ in range(branch.times):
                        for mixer, spec in zip(mixers, branch.mixers, strict=True):
                            if -1 not in spec["axes"]:
                                yield branch, mixer, spec, self.parts.width

    def _kernel(self, branch, mixer, spec):
        if spec["kind"] != "dense":
            return None
        # The same for all channels of a group: one channel each shows it.
        groups = _groups(spec)
        units = ops.reshape(
            ops.eye(self.row, dtype=branch.compute_dtype), self._shape(self.row, self.row, 1)
        )
        units = ops.repeat(units, groups, axis=-1)
        answers = branch.mixed(mixer, spec, units, True)
        return ops.transpose(ops.reshape(answers, (self.row, self.row, groups)), (2, 1, 0))

    def _shape(self, batch, columns, width):
        """The shape of so many columns of one row of the grid."""
        slower = len(self.grid) - 1 + self.prompts
        return (batch, *[1] * slower, columns, width)

    def folded(self, tokens):
        """The folded rows of whole contexts: for each fold in every step `[batch, rows, width]`.

        Args:
            tokens: int32 `[batch, slots, 8]`, of one prompt each.
        """
        kept = []

        def run(branch, x):
            if not isinstance(branch, FoldBranch):
                return branch(x, causal=True, training=False)
            kept.append(self._flat(branch.fold_rows(branch.normed(x)), branch))
            return branch(x, causal=True, training=False)

        grid = (1,) * self.prompts + tuple(self.grid)
        self._run(ops.reshape(self.parts.embedding(tokens), (-1, *grid, self.parts.width)), run)
        return kept

    def no_rows(self, like):
        """What `folded` gives before there is any row."""
        dtype = self.parts.compute_dtype
        return [ops.zeros((ops.shape(like)[0], self.rows, b.width), dtype) for b in self.folds]

    def _flat(self, u, branch):
        return ops.reshape(u, (-1, self.rows, branch.width))

    def additions(self, folded, row):
        """What each fold adds to one row of each context, a list of `[columns, batch * width]`.

        Args:
            folded: list as `folded` gives it; rows from `row` on do not matter.
            row: int32 `[batch]`.
        """
        rows = ops.arange(self.rows, dtype="int32")
        before = ops.equal(rows[None, :], row[:, None] - 1)[..., None]
        found = []
        for branch, u in zip(self.folds, folded, strict=True):
            u = ops.reshape(u, (-1, *self.grid[:-1], branch.width))
            u = branch.mix_rows(u, True, False)
            # Of row 0 nothing: there are zeros before the first.
            u = ops.sum(ops.where(before, u, ops.zeros_like(u)), axis=1)
            y = branch.dense_out(branch.from_before(u))
            y = ops.reshape(y, (-1, self.row, self.parts.width))
            found.append(ops.transpose(y, (1, 0, 2)))
        return found

    def empty(self, like):
        """What a row keeps before its first column: a list of tensors, to go through a loop."""
        batch, dtype = ops.shape(like)[0], self.parts.compute_dtype
        kept = []
        for _, _, spec, width in self._mixers():
            groups = _groups(spec)
            kept.append(ops.zeros((groups, self.row, batch * (width // groups)), dtype))
        kept += [ops.zeros((1, self.row, batch * self.parts.width), dtype) for _ in self.folds]
        return kept

    def column(self, tokens, number, additions, kept, kernels):
        """What the heads are given for one column of a row.

        Args:
            tokens: int32 `[batch, 8]`, the slots of that column.
            number: int32, which column.
            additions: as `additions` gives them for the row.
            kept: as `empty`, or this function for the column before, gives it.
            kernels: as `kernels` gives them.

        Returns:
            `[batch, width]`, and the new `kept`.
        """
        mixers, folds = kept[: len(kernels)], kept[len(kernels) :]
        past, rows = [], []

        def mix(branch):
            def one(mixer, spec, x):
                if -1 in spec["axes"]:
                    return branch.mixed(mixer, spec, x, True)
                kernel, own = kernels[len(past)], mixers[len(past)]
                own = _put(own, number, x, _groups(spec))
                past.append(own)
                if kernel is None:
                    return self._whole(branch, mixer, spec, own, number)
                line = ops.take(kernel, number, axis=1)[:, None]
                return _columns(ops.matmul(line, own), x)

            return one

        def run(branch, x):
            if isinstance(branch, MixBranch):
                y = branch.transform(branch.normed(x), True, False, mix=mix(branch))
                return branch.add(x, y, False)
            if not isinstance(branch, FoldBranch):
                return branch(x, causal=True, training=False)
            place = len(rows)
            rows.append(_put(folds[place], number, branch.normed(x), 1))
            y = ops.take(additions[place], number, axis=0)
            return branch.add(x, ops.reshape(y, ops.shape(x)), False)

        x = self.parts.embedding(tokens[:, None])
        x = self._run(ops.reshape(x, self._shape(-1, 1, self.parts.width)), run)
        if self.parts.final_norm is not None:
            x = self.parts.final_norm(x)
        return ops.reshape(x, (-1, self.parts.width)), past + rows

    def _whole(self, branch, mixer, spec, own, number):
        """One column of a mixer that is no matrix, from the inputs of all."""
        x = ops.reshape(own[0], (self.row, -1, self.parts.width))
        x = ops.reshape(ops.transpose(x, (1, 0, 2)), self._shape(-1, self.row, self.parts.width))
        y = branch.mixed(mixer, spec, x, True)
        y = ops.reshape(y, (-1, self.row, self.parts.width))
        return ops.reshape(ops.take(y, number, axis=1), self._shape(-1, 1, self.parts.width))

    def with_row(self, folded, row, kept):
        """`folded` with one more row of each context, whose columns all ran.

        Args:
            folded, row: as for `additions`.
            kept: as `column` gave it for the last column.
        """
        here = ops.equal(ops.arange(self.rows, dtype="int32")[None, :], row[:, None])[..., None]
        inputs = kept[len(kept) - len(self.folds) :]
        found = []
        for branch, u, x in zip(self.folds, folded, inputs, strict=True):
            x = ops.reshape(x[0], (self.row, -1, self.parts.width))
            x = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, self.row * self.parts.width))
            found.append(ops.where(here, branch.dense_in(x)[:, None], u))
        return found

    def _run(self, x, run):
        """`mdnn.models.refeeding.refed` with another way to run a branch."""
        refeed = self.parts.refeed
        y = None if refeed is None else refeed.first_state(x)
        for _ in range(self.steps):
            y = x if y is None else x + y
            for branch in self.parts.branches:
                y = run(branch, y)
        return y


def _groups(spec):
    """How many kernels a mixer has side by side, each for as many channels."""
    return spec["groups"] if spec["kind"] == "dense" and spec["sharing"] == "groups" else 1


def _put(kept, number, x, groups):
    """`kept` `[groups, columns, batch * channels]` with one more column, `x` `[batch, ..., c]`."""
    width = x.shape[-1]
    x = ops.reshape(x, (-1, groups, width // groups))
    x = ops.reshape(ops.transpose(x, (1, 0, 2)), (groups, -1))
    number = ops.reshape(number, (1, 1))
    indices = ops.concatenate(
        [ops.arange(groups, dtype="int32")[:, None], ops.repeat(number, groups, axis=0)], axis=1
    )
    return ops.scatter_update(kept, indices, ops.cast(x, kept.dtype))


def _columns(y, like):
    """A column of all groups `[groups, 1, batch * channels]`, of the shape of `like`."""
    groups, width = y.shape[0], like.shape[-1]
    y = ops.reshape(y, (groups, -1, width // groups))
    return ops.reshape(ops.transpose(y, (1, 0, 2)), ops.shape(like))
