"""Skips rows of padding and rows without targets in the training forward pass."""

import numpy as np
from keras import ops

from mdnn.models.blocks.fold import RowBottleneck
from mdnn.tokens.features import MODALITY, NUM_FEATURES

LISTS = ("answering", "filled")
"""Keys of `ActiveRows.with_target_indices` whose arrays differ in length between batches."""


class ActiveRows:
    """Runs a network that mixes rows only in folds, without the rows that the loss does not need.

    Before the first fold and after the last fold's mixing, rows are independent. Before the first
    fold a single row stands for all rows of padding; after the last one, rows without a target are
    left out. With a prompt of 30 rows and an answer of one row this saves most of a step's work.

    Args:
        network: `mdnn.Network` for which `of` does not return `None`.
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
        # With refeeding every step but the last needs the states of all rows.
        if network.refeed is not None or network.steps > 1 or not network.row_wise or not folds:
            return None
        return cls(network)

    def with_target_indices(self, batch, padded=False, sizes=None):
        """Returns indices of the rows of a batch that hold tokens or targets.

        Args:
            batch: dict of `tokens` and `targets`, integers `[batch, positions, 8]`, arrays.
            padded, sizes: see `mdnn.models.loss_model.target_indices`.

        Returns:
            dict of int32 arrays. Rows are numbered through the whole batch, `[batch * rows]`.

            - `answering` `[n]`: numbers of the rows that have targets;
            - `answering_at` `[batch * rows]`: index of each row in `answering`; 0 also for rows
              without targets;
            - `filled` `[m]`: numbers of the rows that hold tokens, plus 1;
            - `filled_at` `[batch * rows]`: index of each row in the list of one row of padding
              followed by the rows of `filled`; 0 for padding.
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

    def computed_indices(self, batch, positions):
        """Returns the indices in the result of `hidden` of flattened positions of a batch."""
        row = self.network.row
        return ops.take(batch["answering_at"], positions // row) * row + positions % row

    def hidden(self, batch, training=None):
        """Returns the input of the heads for the rows that have targets.

        Args:
            batch: dict of `tokens`, int32 `[batch, positions, 8]`, and the result of
                `with_target_indices`.
            training: bool.

        Returns:
            `[n * row, width]`, in the order of `answering`; `row` is the number of positions of a
            row.
        """
        network, options = self.network, self.network.options
        tokens = ops.reshape(ops.cast(batch["tokens"], "int32"), (-1, network.row, NUM_FEATURES))
        # One row of padding, at index 0, stands for all of them.
        tokens = ops.pad(tokens, [[1, 0], [0, 0], [0, 0]])
        tokens = ops.take(tokens, ops.pad(ops.maximum(batch["filled"], 0), [[1, 0]]), axis=0)
        x = self._alone(network.embedding(tokens))
        for number, block in enumerate(network.blocks):
            if number == self.last_fold:
                alone = number == self.first_fold
                x = self._fold(block, x, batch, alone, options, training)
                continue
            if number == self.first_fold:
                x = self._rows_of(x, batch["filled_at"])
                x = ops.reshape(x, (-1, *network.grid, network.width))
            x = block(x, options=options, training=training)
        x = network.normed(x)
        return ops.reshape(x, (-1, network.width))

    def _fold(self, fold, x, batch, alone, options, training):
        """Runs the last fold, from all rows to the rows that have targets.

        Args:
            x: the fold's input: the filled rows if `alone`, otherwise whole contexts.
            alone: bool, whether it is the only fold.
        """
        network = self.network
        rows = ops.maximum(batch["answering"], 0)
        if alone:
            u = fold.dense_in(self._flat(fold.normed(x)))
            u = ops.take(u, batch["filled_at"], axis=0)
            u = ops.reshape(u, (-1, *network.grid[:-1], fold.width))
        else:
            u = fold.fold_rows(fold.normed(x))
        v = ops.reshape(fold.taken(u, options, training), (-1, fold.width))
        v = fold.dense_out(ops.take(v, rows, axis=0))
        x = self._rows_of(x, ops.take(batch["filled_at"], rows) if alone else rows)
        return fold(self._alone(x), folded=self._alone(v), training=training)

    def _alone(self, x):
        """Reshapes rows to grids of one row each, the input shape of blocks."""
        network = self.network
        return ops.reshape(x, (-1, *(1 for _ in network.grid[1:]), network.row, network.width))

    def _flat(self, x):
        return ops.reshape(x, (-1, self.network.row * self.network.width))

    def _rows_of(self, x, index):
        return ops.take(self._flat(x), index, axis=0)


def rounded(index, name, sizes=None):
    """Pads an index to one of few lengths, so that compiled functions see few shapes.

    Args:
        index: int32 `[n]`.
        name: str, the key of the index in `sizes`.
        sizes: dict from names to minimum lengths. It is updated with the returned length, so
            that lengths only grow and become constant.

    Returns:
        int32 `[size]`, the index followed by -1.
    """
    sizes = {} if sizes is None else sizes
    size = max(16, sizes.get(name, 0))
    if len(index) > size:
        size = 1 << (len(index) - 1).bit_length()
    sizes[name] = size
    return np.pad(index, (0, size - len(index)), constant_values=-1)
