"""The residual block that folds the fastest context axis into channels."""

import keras
from keras import ops

from mdnn.models.blocks.fold_cache import FoldCache
from mdnn.models.blocks.residual_block import (
    ResidualBlock,
    ends,
    product,
    run_blocks,
    serialized_blocks,
)
from mdnn.models.call_options import CallOptions


@keras.saving.register_keras_serializable(package="mdnn")
class RowBottleneck(ResidualBlock):
    """Mixes whole rows of the grid.

    A row is all positions of the fastest context axis. Each row is folded into one vector of
    `width` channels, `u = F(W_in row)`, where F is a stack of blocks on the grid of rows. The
    vectors are combined as `v_r = P u_(r-1) + Q u_r` and spread over the positions of the row,
    `W_out v_r`. Row r - 1 precedes row r in the row-major order of the slower axes; it is zero for
    the first row. A causal call leaves out the term with Q, so that a position sees only rows
    before its own; positions of the same row are mixed by other blocks.

    Args:
        width: int, channels of a folded row.
        blocks: the blocks of F, run in order on `[batch, t1, ..., t(k-1), width]`.
        causal: bool, the wiring without call options.

    Call arguments:
        x: see the input shape.
        options, training, mix: see `ResidualBlock`; `options` are also passed to the blocks of F.
        folded: a result of `fold`, added in place of a new one.

    Input shape:
        `[batch, t1, ..., tk, channels]`, k above 1. All sizes except the batch are known.

    Output shape:
        The same.

    Raises:
        ValueError: the input has only one context axis.
    """

    def __init__(self, width, blocks, causal=True, **kwargs):
        super().__init__(**kwargs)
        self.width, self.blocks, self.causal = width, list(blocks), causal

    def _sizes(self, shape):
        """Returns the sizes of the slower axes and the number of values of a row."""
        sizes = tuple(shape[1:])
        if len(sizes) < 3:
            raise ValueError(
                f"Expected at least two context axes in the input of {self.name!r}, one to fold "
                f"and one to mix. Received: input_shape={tuple(shape)}"
            )
        return sizes[:-2], sizes[-2] * sizes[-1]

    def build_transform(self, shape):
        slower, values = self._sizes(shape)
        rows = (None, *slower, self.width)
        self.dense_in = self.make_dense(self.width, "dense_in", (None, *slower, values))
        for block in self.blocks:
            if not block.built:
                block.build(rows)
        self.from_before = self.make_dense(self.width, "from_before", rows, bias=False)
        self.from_itself = self.make_dense(self.width, "from_itself", rows, bias=False)
        self.dense_out = self.make_dense(values, "dense_out", rows, self.scale)

    def call(self, x, options=None, training=None, mix=None, folded=None):
        y = self.fold(x, options, training, mix) if folded is None else folded
        return self.add(x, y, training)

    def fold(self, x, options=None, training=None, mix=None):
        """Returns the term that the residual sum adds to `x`, of the shape of `x`.

        Args:
            x: tensor `[batch, *axes, channels]`.
            options, training, mix: see `ResidualBlock`.
        """
        return self.transform(self.normed(x), options, training, mix)

    def transform(self, x, options, training, mix=None):
        # The fold is its own mixer, see `mixing_uses`.
        return self.apply(self, x, options, training) if mix is None else mix(self, self, x)

    def apply(self, layer, x, options=None, training=None):
        """See `mdnn.layers.mixing.Mixer.apply`: folds, mixes and spreads the rows of `x`."""
        v = self.taken(self.fold_rows(x), options, training)
        return ops.reshape(self.dense_out(v), ops.shape(x))

    def taken(self, u, options, training=None):
        """Returns v, the combined rows `[-1, rows, width]`, from the result of `fold_rows`.

        Args:
            u: tensor `[-1, *slower axes, width]`.
            options, training: see `ResidualBlock`.
        """
        if options is None or options.causal is None:
            options = (options or CallOptions()).changed(causal=self.causal)
        u = self.mix_rows(u, options, training)
        v = self.from_before(ops.pad(u[:, :-1], [[0, 0], [1, 0], [0, 0]]))
        return v if options.causal else v + self.from_itself(u)

    def fold_rows(self, x):
        """Returns rows folded into vectors, before mixing: `[-1, *slower axes, width]`."""
        slower, values = self._sizes(x.shape)
        return self.dense_in(ops.reshape(x, (-1, *slower, values)))

    def mix_rows(self, u, options, training=None):
        """Returns folded rows after the blocks of F, flattened to `[-1, rows, width]`.

        Args:
            u: tensor `[-1, *slower axes, width]`.
            options, training: see `ResidualBlock`.
        """
        rows = product(u.shape[1:-1])
        u = run_blocks(self.blocks, u, options, training)
        return ops.reshape(u, (-1, rows, self.width))

    @property
    def can_be_causal(self):
        return all(block.can_be_causal for block in self.blocks)

    def mixing_uses(self):
        return [(self, self)]

    def make_caches(self, layer, grid, width, columns=True):
        """See `mdnn.layers.mixing.Mixer.make_caches`; the fold is its own mixer."""
        return [FoldCache(self, grid, width)]

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example, with the layer's own wiring."""
        slower, values = self._sizes(input_shape)
        one_or_two = 1 if self.causal else 2
        rows = product(slower) * self.width * (2 * values + one_or_two * self.width)
        inner = sum(b.operations((None, *slower, self.width)) for b in self.blocks)
        return rows + inner

    def values(self, input_shape):
        """Returns the number of values written for one example."""
        slower, _ = self._sizes(input_shape)
        # Folding; shift and product with P; unless causal, product with Q and sum.
        folded = product(slower) * self.width * (3 if self.causal else 5)
        inner = sum(b.values((None, *slower, self.width)) for b in self.blocks)
        return product(input_shape[1:]) * (ends(self) + 1) + folded + inner

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "blocks": serialized_blocks(self.blocks),
            "causal": self.causal,
        }

    @classmethod
    def from_config(cls, config):
        blocks = [keras.saving.deserialize_keras_object(b) for b in config["blocks"]]
        return cls(**{**config, "blocks": blocks})
