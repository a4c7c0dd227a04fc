"""The rows of the grid that hold something to answer, and a network run for these alone."""

import numpy as np
from keras import ops

from mdnn.models.folding import FoldBranch
from mdnn.models.variants import Parts
from mdnn.tokens.units import MODALITY


class AnsweringRows:
    """Runs a network whose end works within rows for the rows that are asked for.

    What a slot takes from other rows comes through folds. Behind the last fold's mixing each row
    goes its own way, so where nothing is to be answered in a row, the rest need not be computed:
    with a prompt of 30 rows and an answer of one, most of a step's work.

    Args:
        parts: `mdnn.models.variants.Parts` for which `of` gives one.
    """

    def __init__(self, parts):
        self.parts = parts
        folds = [k for k, b in enumerate(parts.branches) if isinstance(b, FoldBranch)]
        self.before, self.fold = parts.branches[: folds[-1]], parts.branches[folds[-1]]
        self.after = parts.branches[folds[-1] + 1 :]

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

    def picked(self, targets, padded=False, sizes=None):
        """Which rows of a batch have targets.

        Args:
            targets: integer tokens `[batch, slots, 8]`, an array.
            padded, sizes: as of `mdnn.models.learner.picks`.

        Returns:
            dict of `rows`, int32 `[n]`, their numbers, rows counted through the batch; and
            `row_at`, int32 `[rows of the batch]`, where among them each row is (0: or nowhere).
        """
        has = (np.asarray(targets)[..., MODALITY] != 0).reshape(-1, self.parts.row).any(axis=1)
        rows = np.flatnonzero(has).astype("int32")
        row_at = np.zeros(len(has), "int32")
        row_at[rows] = np.arange(len(rows))
        return {"rows": rounded(rows, "rows", sizes) if padded else rows, "row_at": row_at}

    def places(self, batch, slots):
        """Where slots of a batch, laid end to end, are in what `hidden` gives."""
        row = self.parts.row
        return ops.take(batch["row_at"], slots // row) * row + slots % row

    def hidden(self, batch, causal=None, training=None):
        """What the heads are given, of the rows that have targets.

        Args:
            batch: dict of `tokens`, int32 `[batch, slots, 8]`, and what `picked` gives.
            causal: whether no slot sees those after it; `None`: as the network was built.
            training: boolean.

        Returns:
            `[n * row, width]`, slot after slot.
        """
        parts, rows = self.parts, ops.maximum(batch["rows"], 0)
        x = parts.to_grid(parts.embedding(batch["tokens"]))
        for branch in self.before:
            x = branch(x, causal=causal, training=training)
        fold = self.fold
        mixed = fold.mixed_rows(fold.normed(x), causal, training)
        mixed = ops.take(ops.reshape(mixed, (-1, fold.width)), rows, axis=0)
        alone = (-1, *(1 for _ in parts.grid[1:]), parts.row, parts.width)
        x = ops.take(ops.reshape(x, (-1, parts.row * parts.width)), rows, axis=0)
        folded = ops.reshape(fold.dense_out(mixed), alone)
        x = fold(ops.reshape(x, alone), folded=folded, training=training)
        for branch in self.after:
            x = branch(x, causal=causal, training=training)
        if parts.final_norm is not None:
            x = parts.final_norm(x)
        return ops.reshape(x, (-1, parts.width))


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
