"""A causal network, one slot at a time: what earlier slots gave is kept, not computed again."""

from keras import ops

from mdnn.models.branches import product
from mdnn.models.folded_rows import FoldedRows, groups_of, mixer_kernel, run_mixing
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
        self.row, self.rows, self.width = parts.row, product(self.grid[:-1]), parts.width
        once = [b for b in parts.branches if isinstance(b, FoldBranch)]
        self.folds = [FoldedRows(branch, self.grid[:-1]) for branch in once] * self.steps
        once = [
            (branch, mixer, spec)
            for branch in parts.branches
            if isinstance(branch, MixBranch)
            for mixers in branch.sets
            for _ in range(branch.times)
            for mixer, spec in zip(mixers, branch.mixers, strict=True)
            if -1 not in spec["axes"]
        ]
        # Each use of a mixer that has a past, in the order in which they run.
        self.mixers = once * self.steps

    def kernels(self):
        """The matrix of each dense mixer, `[groups, columns out, columns in]`, else `None`.

        To be called once, before a loop over columns.
        """
        made = {}
        for branch, mixer, spec in self.mixers:
            if id(mixer) not in made:
                made[id(mixer)] = None
                if spec["kind"] == "dense":
                    axes = self._shape(1, self.row, 1)[1:-1]
                    made[id(mixer)] = mixer_kernel(branch, mixer, spec, self.row, axes)
        return [made[id(mixer)] for _, mixer, _ in self.mixers]

    def _shape(self, batch, columns, width):
        """The shape of so many columns of one row of the grid."""
        slower = len(self.grid) - 1 + self.prompts
        return (batch, *[1] * slower, columns, width)

    def folded(self, tokens):
        """What the folds keep of whole contexts, a list of tensors, to go through a loop.

        Args:
            tokens: int32 `[batch, slots, 8]`, of one prompt each.
        """
        kept, folds = [], iter(self.folds)

        def run(branch, x):
            if not isinstance(branch, FoldBranch):
                return branch(x, causal=True, training=False)
            y, own = next(folds).all(x)
            kept.extend(own)
            return y

        grid = (1,) * self.prompts + tuple(self.grid)
        self._run(ops.reshape(self.parts.embedding(tokens), (-1, *grid, self.width)), run)
        return kept

    def no_rows(self, like):
        """What `folded` gives before there is any row, for tokens `like`."""
        batch, dtype = ops.shape(like)[0], self.parts.compute_dtype
        return [tensor for fold in self.folds for tensor in fold.none(batch, dtype)]

    def _of_folds(self, folded):
        """What each use of a fold keeps."""
        start, found = 0, []
        for fold in self.folds:
            found.append(folded[start : start + fold.size])
            start += fold.size
        return found

    def additions(self, folded, row):
        """What each fold adds to one row of each context, a list of `[columns, batch, channels]`.

        Args:
            folded: list as `folded` gives it; rows from `row` on do not matter.
            row: int32 `[batch]`.
        """
        found = []
        for fold, own in zip(self.folds, self._of_folds(folded), strict=True):
            y = ops.reshape(fold.addition(own, row), (-1, self.row, self.width))
            found.append(ops.transpose(y, (1, 0, 2)))
        return found

    def with_row(self, folded, row, kept):
        """`folded` with one more row of each context, whose columns all ran.

        Args:
            folded, row: as for `additions`.
            kept: as `column` gave it for the last column.
        """
        found = []
        inputs = kept[len(self.mixers) :]
        for fold, own, x in zip(self.folds, self._of_folds(folded), inputs, strict=True):
            x = ops.reshape(x[0], (self.row, -1, self.width))
            x = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, self.row * self.width))
            found.extend(fold.with_row(own, row, x))
        return found

    def empty(self, like):
        """What a row keeps before its first column: a list of tensors, to go through a loop."""
        batch, dtype = ops.shape(like)[0], self.parts.compute_dtype
        groups = [groups_of(spec) for _, _, spec in self.mixers] + [1] * len(self.folds)
        return [ops.zeros((g, self.row, batch * (self.width // g)), dtype) for g in groups]

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
        mixers, folds = kept[: len(self.mixers)], kept[len(self.mixers) :]
        past, rows = [], []

        def mix(branch, mixer, spec, x):
            kernel, own = kernels[len(past)], mixers[len(past)]
            own = _put(own, number, x, groups_of(spec))
            past.append(own)
            if kernel is None:
                return self._whole(branch, mixer, spec, own, number)
            line = ops.take(kernel, number, axis=1)[:, None]
            return _columns(ops.matmul(line, own), x)

        def run(branch, x):
            if isinstance(branch, MixBranch):
                return run_mixing(branch, x, mix)
            if not isinstance(branch, FoldBranch):
                return branch(x, causal=True, training=False)
            place = len(rows)
            rows.append(_put(folds[place], number, branch.normed(x), 1))
            y = ops.take(additions[place], number, axis=0)
            return branch(x, folded=ops.reshape(y, ops.shape(x)), training=False)

        x = self.parts.embedding(tokens[:, None])
        x = self._run(ops.reshape(x, self._shape(-1, 1, self.width)), run)
        if self.parts.final_norm is not None:
            x = self.parts.final_norm(x)
        return ops.reshape(x, (-1, self.width)), past + rows

    def _whole(self, branch, mixer, spec, own, number):
        """One column of a mixer that is no matrix, from the inputs of all."""
        x = ops.reshape(own[0], (self.row, -1, self.width))
        x = ops.reshape(ops.transpose(x, (1, 0, 2)), self._shape(-1, self.row, self.width))
        y = ops.reshape(branch.mixed(mixer, spec, x, True), (-1, self.row, self.width))
        return ops.reshape(ops.take(y, number, axis=1), self._shape(-1, 1, self.width))

    def _run(self, x, run):
        """`mdnn.models.refeeding.refed` with another way to run a branch."""
        refeed = self.parts.refeed
        y = None if refeed is None else refeed.first_state(x)
        for _ in range(self.steps):
            y = x if y is None else x + y
            for branch in self.parts.branches:
                y = run(branch, y)
        return y


def _put(kept, number, x, groups):
    """`kept` `[groups, columns, batch * channels]` with one more column, `x` `[batch, ..., c]`."""
    width = x.shape[-1]
    x = ops.reshape(x, (-1, groups, width // groups))
    x = ops.reshape(ops.transpose(x, (1, 0, 2)), (groups, -1))
    number = ops.repeat(ops.reshape(number, (1, 1)), groups, axis=0)
    indices = ops.concatenate([ops.arange(groups, dtype="int32")[:, None], number], axis=1)
    return ops.scatter_update(kept, indices, ops.cast(x, kept.dtype))


def _columns(y, like):
    """A column of all groups `[groups, 1, batch * channels]`, of the shape of `like`."""
    groups, width = y.shape[0], like.shape[-1]
    y = ops.reshape(y, (groups, -1, width // groups))
    return ops.reshape(ops.transpose(y, (1, 0, 2)), ops.shape(like))
