"""The residual block that cuts characters into chunks and mixes the chunks."""

import keras
from keras import ops

from mdnn.layers.weight_rules import get_initializer
from mdnn.models.auxiliary_losses import add_auxiliary_loss
from mdnn.models.blocks.residual_block import (
    ResidualBlock,
    ends,
    make_norm,
    product,
    run_blocks,
    serialized_blocks,
)
from mdnn.models.call_options import CAUSAL
from mdnn.models.chunks.chunk_cache import ChunkCache
from mdnn.models.chunks.chunk_layout import ChunkLayout, num_chunks
from mdnn.models.chunks.cuts import CUTS
from mdnn.models.chunks.smoothing import confident, ratio_loss, smoothed


@keras.saving.register_keras_serializable(package="mdnn")
class ChunkBlock(ResidualBlock):
    """Mixes chunks of characters: subwords that the network makes itself.

    The context, in row-major order, is cut into chunks c of letters t. With `kernels` = H weights
    along the letters of a chunk, from its beginning and from its end,

        u_c = W_in [sum_t (a_h[t - first_c] + e_h[last_c - t]) x_t]_h
        v   = F(u)                               blocks on the grid of chunks, causal
        y_t = p[t - first_c] + sum_h s_h[t - first_c] (W_h N(v_(c-1)))

    where N is a norm and c is the chunk of t: a letter receives the chunks before its own, which
    are complete. The grid of chunks by letters is never stored: sums over a chunk are one product
    with the matrix of chunks by positions. No position depends on later ones.

    A learned cut gets its gradients from H-Net's smoothing, confidence and ratio loss
    (`mdnn.models.chunks.smoothing`).

    Args:
        width: int, channels of a chunk.
        blocks: the blocks of F, run in order on `[batch, chunks, width]`.
        cut: name of the way to cut, see `mdnn.models.chunks.cuts.CUTS`.
        shortest, longest: ints, the lengths of a chunk in letters.
        kernels: int, H.
        letters: float, the mean length of chunks that `surprise` and `learned` aim at.
        ratio_loss: float, the weight of that loss.

    Call arguments:
        x: see the input shape.
        options, training, mix: see `ResidualBlock`.
        marks: int32 `[batch, t1, ..., tk]`, code points of the characters
            (`mdnn.models.chunks.characters_of.code_points`).

    Input shape:
        `[batch, t1, ..., tk, channels]`. All sizes except the batch are known.

    Output shape:
        The same.

    Raises:
        ValueError: chunks are longer than the context, or `shortest` is above `longest`.
    """

    takes_marks = True

    def __init__(
        self,
        width,
        blocks,
        cut="space",
        shortest=4,
        longest=12,
        kernels=2,
        letters=6.0,
        ratio_loss=0.03,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width, self.blocks, self.cut = width, list(blocks), cut
        self.shortest, self.longest, self.kernels = shortest, longest, kernels
        self.letters, self.ratio_loss = letters, ratio_loss
        if cut not in CUTS:
            raise ValueError(f"expected cut to be one of {', '.join(CUTS)}, received {cut!r}")
        if not 1 <= shortest <= longest or kernels < 1:
            raise ValueError(
                "expected shortest from 1 to longest and kernels of at least 1, received "
                f"shortest={shortest}, longest={longest}, kernels={kernels}"
            )
        self.cutter = CUTS[cut](name="cut", dtype=self.dtype_policy)

    def build_transform(self, shape):
        positions, channels = product(shape[1:-1]), shape[-1]
        if self.longest > positions:
            raise ValueError(
                f"expected chunks of at most the context's {positions} positions, received "
                f"longest={self.longest}"
            )
        self.chunks = num_chunks(positions, self.shortest)
        self.cutter.build((None, positions, channels))
        chunks, joined = (None, self.chunks, self.width), self.kernels * channels
        self.dense_in = self.make_dense(self.width, "dense_in", (None, self.chunks, joined))
        for block in self.blocks:
            if not block.built:
                block.build(chunks)
        # Chunks are normed, and hand over almost nothing at first: otherwise they drown what
        # letters hold for 150 steps.
        epsilon = self.blocks[0].epsilon if self.blocks else self.epsilon
        self.norm_out = make_norm(self.norm, "norm_out", self.dtype_policy, epsilon)
        if self.norm_out is not None:
            self.norm_out.build(chunks)
        self.dense_out = self.make_dense(joined, "dense_out", chunks, 0.01 * self.scale)
        letters = (self.kernels, self.longest)
        # The sum over a chunk of independent letters keeps about their variance.
        spread = get_initializer("random_normal", stddev=0.3)
        even = get_initializer("random_normal", mean=0.7, stddev=0.3)
        self.from_start = self.add_weight(letters, spread, name="from_start")
        self.from_end = self.add_weight(letters, spread, name="from_end")
        self.to_letters = self.add_weight(letters, even, name="to_letters")
        self.letter_table = self.add_weight((self.longest, channels), "zeros", name="letter_table")

    def call(self, x, options=None, training=None, mix=None, marks=None):
        y = self.transform(self.normed(x), options, training, mix, marks)
        return self.add(x, y, training)

    def transform(self, x, options, training, mix=None, marks=None):
        if marks is None:
            raise ValueError(f"expected the characters of the context in marks of {self.name!r}")
        if mix is not None:
            # The block is its own mixer, see `mixing_uses`.
            return mix(self, self, (x, marks[..., None]))
        return self.apply(self, (x, marks[..., None]), options, training)

    def apply(self, layer, inputs, options=None, training=None):
        """See `mdnn.layers.mixing.Mixer.apply`.

        Args:
            layer: the block itself.
            inputs: tuple of x and the marks with a last axis of size 1.
            options, training: see `ResidualBlock`.
        """
        x, marks = inputs
        shape = ops.shape(x)
        flat, layout = self.laid_out(x, marks)
        u = self.dense_in(self.pooled(flat, layout))
        v = self.settled(run_blocks(self.blocks, u, CAUSAL, training), layout)
        if training and self.cutter.learnt and self.ratio_loss:
            loss = ratio_loss(layout.strength, layout.cut, self.letters)
            add_auxiliary_loss(self, self.ratio_loss * loss)
        return ops.reshape(self.handed_back(self.results(v), layout), shape)

    def laid_out(self, x, marks):
        """Returns x as `[batch, positions, channels]` and its `ChunkLayout`."""
        positions, channels = product(x.shape[1:-1]), x.shape[-1]
        x = ops.reshape(x, (-1, positions, channels))
        strength = self.cutter.strength(ops.reshape(marks, (-1, positions)), x)
        return x, ChunkLayout.of(strength, self.shortest, self.longest, x.dtype)

    def settled(self, v, layout):
        """Returns the chunks `[batch, chunks, width]` that letters receive; smoothed if learned."""
        return smoothed(v, layout.at_ends()) if self.cutter.learnt else v

    def results(self, v):
        """Projects chunk vectors `[..., width]` to per-letter results `[..., H * channels]`."""
        return self.dense_out(v if self.norm_out is None else self.norm_out(v))

    def pooled(self, x, layout):
        """Returns the weighted sums over the letters of chunks, `[batch, chunks, H * channels]`."""
        weights = self.at_letters(self.from_start, layout.offset)
        weights = weights + self.at_letters(self.from_end, layout.to_end)
        x = weights[..., None] * x[:, :, None]
        x = ops.reshape(x, (-1, *x.shape[1:2], self.kernels * x.shape[-1]))
        return ops.matmul(layout.members, x)

    def handed_back(self, out, layout):
        """Returns each letter's input from its chunk, `[batch, positions, channels]`.

        Args:
            out: `[batch, chunks, H * channels]`, results of `dense_out`.
            layout: `ChunkLayout`.
        """
        # Shifted by one: each letter receives the chunk before its own.
        before = ops.swapaxes(layout.members[:, 1:], 1, 2)
        received = ops.matmul(before, out[:, :-1])
        received = ops.reshape(received, (-1, *received.shape[1:2], self.kernels, self.channels))
        weights = self.at_letters(self.to_letters, layout.offset)
        if self.cutter.learnt:
            sure = confident(layout.strength, layout.cut)
            weights = weights * ops.cast(sure, weights.dtype)[..., None]
        return ops.sum(weights[..., None] * received, axis=2) + self.letter_rows(layout.offset)

    @property
    def channels(self):
        return self.letter_table.shape[-1]

    def at_letters(self, kernel, number):
        """Returns a kernel `[H, longest]` at numbers of letters `[...]`: `[..., H]`."""
        return ops.matmul(
            self._one_hot(number), ops.cast(ops.transpose(kernel), self.compute_dtype)
        )

    def letter_rows(self, number):
        """Returns the rows of the table of letters for numbers `[...]`: `[..., channels]`."""
        return ops.matmul(self._one_hot(number), ops.cast(self.letter_table, self.compute_dtype))

    def _one_hot(self, number):
        # A product, not a look-up: its gradient is dense (`mdnn.layers.table_lookup`).
        return ops.one_hot(number, self.longest, dtype=self.compute_dtype)

    @property
    def can_be_causal(self):
        return all(block.can_be_causal for block in self.blocks)

    def stays_in_rows(self, rank):
        """Returns whether rows are mixed separately and alike; see `MixingBlock.stays_in_rows`."""
        return False

    def mixing_uses(self):
        return [(self, self)]

    def make_caches(self, layer, grid, width, columns=True):
        """See `mdnn.layers.mixing.Mixer.make_caches`; the block is its own mixer."""
        return [ChunkCache(self, grid, width)]

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        positions, joined = product(input_shape[1:-1]), self.kernels * input_shape[-1]
        moved = 2 * self.chunks * positions * joined + 2 * positions * joined
        dense = 2 * self.chunks * joined * self.width
        inner = sum(b.operations((None, self.chunks, self.width)) for b in self.blocks)
        return moved + dense + inner

    def values(self, input_shape):
        """Returns the number of values written for one example."""
        size, joined = product(input_shape[1:]), self.kernels * input_shape[-1]
        chunks = self.chunks * (2 * joined + self.width)
        inner = sum(b.values((None, self.chunks, self.width)) for b in self.blocks)
        return size * (ends(self) + 1 + 2 * self.kernels) + chunks + inner

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "blocks": serialized_blocks(self.blocks),
            "cut": self.cut,
            "shortest": self.shortest,
            "longest": self.longest,
            "kernels": self.kernels,
            "letters": self.letters,
            "ratio_loss": self.ratio_loss,
        }

    @classmethod
    def from_config(cls, config):
        blocks = [keras.saving.deserialize_keras_object(b) for b in config["blocks"]]
        return cls(**{**config, "blocks": blocks})
