"""Rows that hold something, rows that hold something to answer: a network run for these alone."""

import numpy as np
from keras import ops

from mdnn.models.fold import RowBottleneck
from mdnn.models.thinking.recurrence import run_blocks
from mdnn.tokens.features import MODALITY, WIDTH

LISTS = ("answering", "filled")
"""What `ActiveRows.with_target_indices` gives whose length is not the same for every batch."""


class ActiveRows:
    """Runs a network whose rows meet in folds alone, without the rows that nobody needs.

    Before the first fold and behind the last one's mixing each row goes its own way. So before
    it all rows of padding are one, and behind it rows without a target need not be computed: with
    a prompt of 30 rows and an answer of one, most of a step's work.

    Args:
        network: `mdnn.Network` for which `of` gives one.
    """

    def __init__(self, network):
        self.network = network
        folds = [k for k, b in enumerate(network.blocks) if isinstance(b, RowBottleneck)]
        self.first_fold, self.last_fold = folds[0], folds[-1]

    @classmethod
    def of(cls, network):
        """Returns the `ActiveRows` of a network; `None` where all of its rows are needed.

        Args:
            network: `mdnn.Network`.
        """
        folds = any(isinstance(block, RowBottleneck) for block in network.blocks)
        # Where states are refed every row's state is needed, but in the last step.
        if network.refeed is not None or network.steps > 1 or not network.row_wise or not folds:
            return None
        return cls(network)

    def with_target_indices(self, batch, padded=False, sizes=None):
        """Which rows of a batch hold what.

        Args:
            batch: dict of `tokens` and `targets`, integers `[batch, positions, 8]`, arrays.
            padded, sizes: as of `mdnn.models.loss_model.target_indices`.

        Returns:
            dict of int32 arrays: `answering` `[n]`, the numbers of the rows that have targets,
            rows counted through the batch; `filled` `[m]`, 1 + the numbers of those that have
            units; and `answering_at` and `filled_at`, one number for each row of the batch: where
            it is among `answering` (0: or nowhere), and where in a list of one row of padding
            and those of `filled` (0: padding).
        """
        found = {}
        for name, of, first in (("answering", "targets", 0), ("filled", "tokens", 1)):
            kinds = np.asarray(batch[of])[..., MODALITY].reshape(-1, self.network.row)
            rows = np.flatnonzero((kinds != 0).any(axis=1)).astype("int32")
            at = np.zeros(len(kinds), "int32")
            at[rows] = np.arange(first, first + len(rows))
            rows = rows + first
            found |= {f"{name}_at": at, name: rounded(rows, name, sizes) if padded else rows}
        return found

    def places(self, batch, positions):
        """Where positions of a batch, laid end to end, are in what `hidden` gives."""
        row = self.network.row
        return ops.take(batch["answering_at"], positions // row) * row + positions % row

    def hidden(self, batch, training=None):
        """What the heads are given, of the rows that have targets.

        Args:
            batch: dict of `tokens`, int32 `[batch, positions, 8]`, and what `with_target_indices`
                gives.
            training: boolean.

        Returns:
            `[n * row, width]`, position after position.
        """
        network, causal = self.network, self.network.causal
        tokens = ops.reshape(ops.cast(batch["tokens"], "int32"), (-1, network.row, WIDTH))
        # The first row is padding, which stands for all rows of padding.
        tokens = ops.pad(tokens, [[1, 0], [0, 0], [0, 0]])
        tokens = ops.take(tokens, ops.pad(ops.maximum(batch["filled"], 0), [[1, 0]]), axis=0)
        places = {id(block): place for place, block in enumerate(network.blocks)}

        def run_block(block, x):
            place = places[id(block)]
            if place == self.last_fold:
                alone = place == self.first_fold
                return self._fold(block, x, batch, alone, causal, training)
            if place == self.first_fold:
                x = self._rows_of(x, batch["filled_at"])
                x = ops.reshape(x, (-1, *network.grid, network.width))
            return block(x, causal=causal, training=training)

        x = self._alone(network.embedding(tokens))
        x = network.normed(run_blocks(network.blocks, x, run_block=run_block))
        return ops.reshape(x, (-1, network.width))

    def _fold(self, fold, x, batch, alone, causal, training):
        """The last fold: from all rows to those that have targets.

        Args:
            x: the fold's input, of the filled rows where `alone`, of whole contexts elsewhere.
        """
        network = self.network
        rows = ops.maximum(batch["answering"], 0)
        if alone:
            u = fold.dense_in(self._flat(fold.normed(x)))
            u = ops.take(u, batch["filled_at"], axis=0)
            u = ops.reshape(u, (-1, *network.grid[:-1], fold.width))
        else:
            u = fold.fold_rows(fold.normed(x))
        v = ops.reshape(fold.taken(u, causal, training), (-1, fold.width))
        v = fold.dense_out(ops.take(v, rows, axis=0))
        x = self._rows_of(x, ops.take(batch["filled_at"], rows) if alone else rows)
        return fold(self._alone(x), folded=self._alone(v), training=training)

    def _alone(self, x):
        """Rows as grids of one row each, as blocks take them."""
        network = self.network
        return ops.reshape(x, (-1, *(1 for _ in network.grid[1:]), network.row, network.width))

    def _flat(self, x):
        return ops.reshape(x, (-1, self.network.row * self.network.width))

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
