"""Rows that hold something, rows that hold something to answer: a network run for these alone."""

import numpy as np
from keras import ops

from mdnn.models.folding import FoldBranch
from mdnn.models.variants import Parts
from mdnn.tokens.units import MODALITY, WIDTH

LISTS = ("answering", "filled")
"""What `AnsweringRows.picked` gives whose length is not the same for every batch."""


class AnsweringRows:
    """Runs a network whose rows meet in folds alone, without the rows that nobody needs.

    Before the first fold and behind the last one's mixing each row goes its own way. So before
    it all rows of padding are one, and behind it rows without a target need not be computed: with
    a prompt of 30 rows and an answer of one, most of a step's work.

    Args:
        parts: `mdnn.models.variants.Parts` for which `of` gives one.
    """

    def __init__(self, parts):
        self.parts = parts
        folds = [k for k, b in enumerate(parts.branches) if isinstance(b, FoldBranch)]
        first, last = folds[0], folds[-1]
        self.before, self.between = parts.branches[:first], parts.branches[first:last]
        self.fold, self.after = parts.branches[last], parts.branches[last + 1 :]

    @classmethod
    def of(cls, model):
        """The `AnsweringRows` of a network; `None` where all of its rows are needed.

        Args:
            model: a network as `mdnn.build` or `mdnn.models.variants.variant` makes it.
        """
        if "embedding" not in {layer.name for layer in model.layers}:
            return None
        parts = Parts(model)
        folds = any(isinstance(branch, FoldBranch) for branch in parts.branches)
        # Where states are refed every row's state is needed, but in the last step.
        if parts.refeed is not None or not parts.row_wise or not folds:
            return None
        return cls(parts)

    def picked(self, batch, padded=False, sizes=None):
        """Which rows of a batch hold what.

        Args:
            batch: dict of `tokens` and `targets`, integers `[batch, slots, 8]`, arrays.
            padded, sizes: as of `mdnn.models.learner.picks`.

        Returns:
            dict of int32 arrays: `answering` `[n]`, the numbers of the rows that have targets,
            rows counted through the batch; `filled` `[m]`, 1 + the numbers of those that have
            units; and `answering_at` and `filled_at`, one number for each row of the batch: where
            it is among `answering` (0: or nowhere), and where in a list of one row of padding
            and those of `filled` (0: padding).
        """
        found = {}
        for name, of, first in (("answering", "targets", 0), ("filled", "tokens", 1)):
            kinds = np.asarray(batch[of])[..., MODALITY].reshape(-1, self.parts.row)
            rows = np.flatnonzero((kinds != 0).any(axis=1)).astype("int32")
            at = np.zeros(len(kinds), "int32")
            at[rows] = np.arange(first, first + len(rows))
            rows = rows + first
            found |= {f"{name}_at": at, name: rounded(rows, name, sizes) if padded else rows}
        return found

    def places(self, batch, slots):
        """Where slots of a batch, laid end to end, are in what `hidden` gives."""
        row = self.parts.row
        return ops.take(batch["answering_at"], slots // row) * row + slots % row

    def hidden(self, batch, causal=None, training=None):
        """What the heads are given, of the rows that have targets.

        Args:
            batch: dict of `tokens`, int32 `[batch, slots, 8]`, and what `picked` gives.
            causal: whether no slot sees those after it; `None`: as the network was built.
            training: boolean.

        Returns:
            `[n * row, width]`, slot after slot.
        """
        parts, fold = self.parts, self.fold
        how = {"causal": causal, "training": training}
        rows, at = ops.maximum(batch["answering"], 0), batch["filled_at"]
        tokens = ops.reshape(ops.cast(batch["tokens"], "int32"), (-1, parts.row, WIDTH))
        # The first row is padding, which stands for all rows of padding.
        tokens = ops.pad(tokens, [[1, 0], [0, 0], [0, 0]])
        tokens = ops.take(tokens, ops.pad(ops.maximum(batch["filled"], 0), [[1, 0]]), axis=0)
        x = self._alone(parts.embedding(tokens))
        for branch in self.before:
            x = branch(x, **how)
        if self.between:
            x = self._rows_of(x, at)
            x = ops.reshape(x, (-1, *parts.grid, parts.width))
            for branch in self.between:
                x = branch(x, **how)
            u, at = fold.fold_rows(fold.normed(x)), None
        else:
            u = fold.dense_in(self._flat(fold.normed(x)))
            u = ops.reshape(ops.take(u, at, axis=0), (-1, *parts.grid[:-1], fold.width))
        v = ops.reshape(fold.taken(u, causal, training), (-1, fold.width))
        v = fold.dense_out(ops.take(v, rows, axis=0))
        x = self._rows_of(x, rows if at is None else ops.take(at, rows))
        x = fold(self._alone(x), folded=self._alone(v), training=training)
        for branch in self.after:
            x = branch(x, **how)
        if parts.final_norm is not None:
            x = parts.final_norm(x)
        return ops.reshape(x, (-1, parts.width))

    def _alone(self, x):
        """Rows as grids of one row each, as branches take them."""
        parts = self.parts
        return ops.reshape(x, (-1, *(1 for _ in parts.grid[1:]), parts.row, parts.width))

    def _flat(self, x):
        return ops.reshape(x, (-1, self.parts.row * self.parts.width))

    def _rows_of(self, x, index):
        return ops.take(self._flat(x), index, axis=0)


def rounded(index, name, sizes=None):
    """An index made longer, to one of few lengths.

    Args:
        index: int32 `[n]`.
        name: of the index.
        sizes: dict from names to the least lengths that are given; it is told the lengths that
            are given, so that in the end they are always the same.

    Returns:
        int32, with -1 behind the index.
    """
    sizes = {} if sizes is None else sizes
    size = max(16, sizes.get(name, 0))
    if len(index) > size:
        size = 1 << (len(index) - 1).bit_length()
    sizes[name] = size
    return np.pad(index, (0, size - len(index)), constant_values=-1)
