"""The residual block that looks up the last few characters in tables."""

import keras
from keras import ops

from mdnn.layers.table_lookup import dense_gradient, take_rows
from mdnn.layers.weight_rules import get_initializer
from mdnn.models.blocks.residual_block import ResidualBlock, ends, product
from mdnn.models.chunks.ngram_cache import NgramCache

MODULUS, FACTOR = 46_337, 31_337
"""A prime whose square fits into 32 bits, and the factor of the numbers of n-grams."""

MOST_ROWS = 32_768
"""Largest number of rows of a table."""


@keras.saving.register_keras_serializable(package="mdnn")
class NgramBlock(ResidualBlock):
    """Adds vectors of the last n characters, for several n, to the stream.

    The last n characters (an n-gram) have a number, and a table of each n has a row for it: the
    number modulo the rows, so that rare n-grams share rows (BLT's embedding of hashed n-grams,
    arXiv 2412.09871). A dense layer brings the rows of all n, side by side, to the stream's width.
    A look-up costs the same for any number of rows.

    Args:
        lengths: ints, the numbers n of characters.
        rows: int, rows of each table.
        width: int, channels of a row.

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
        ValueError: no lengths, or a number out of range.
    """

    takes_marks = True

    def __init__(self, lengths, rows, width, **kwargs):
        super().__init__(**{**kwargs, "norm": "none"})
        self.lengths, self.rows, self.width = tuple(lengths), rows, width
        if not self.lengths or min(self.lengths) < 1 or not 1 <= rows <= MOST_ROWS or width < 1:
            raise ValueError(
                f"expected lengths of at least 1, 1 to {MOST_ROWS:,} rows and a width of at least "
                f"1, received lengths={self.lengths}, rows={rows}, width={width}"
            )

    @property
    def reach(self):
        """Number of last characters that a position depends on."""
        return max(self.lengths)

    def build_transform(self, shape):
        joined = (*shape[:-1], len(self.lengths) * self.width)
        start = get_initializer("random_normal", stddev=0.05)
        self.table = self.add_weight(
            (len(self.lengths) * self.rows, self.width), start, name="ngram_table"
        )
        self.dense_out = self.make_dense(shape[-1], "dense_out", joined)

    def call(self, x, options=None, training=None, mix=None, marks=None):
        return self.add(x, self.transform(x, options, training, mix, marks), training)

    def transform(self, x, options, training, mix=None, marks=None):
        if marks is None:
            raise ValueError(f"expected the characters of the context in marks of {self.name!r}")
        if mix is not None:
            # The block is its own mixer, see `mixing_uses`.
            return mix(self, self, marks[..., None])
        return self.apply(self, marks[..., None], options, training)

    def apply(self, layer, marks, options=None, training=None):
        """See `mdnn.layers.mixing.Mixer.apply`.

        Args:
            layer: the block itself.
            marks: int32 `[batch, t1, ..., tk, 1]`.
            options, training: see `ResidualBlock`.
        """
        shape = ops.shape(marks)
        codes = ops.reshape(marks, (-1, product(marks.shape[1:])))
        before = ops.pad(codes, [[0, 0], [self.reach - 1, 0]])
        y = self.vectors(before, training)
        return ops.reshape(y, (*shape[:-1], y.shape[-1]))

    def vectors(self, codes, training=None):
        """Returns the vectors of all characters but the first `reach` - 1.

        Args:
            codes: int32 `[batch, reach - 1 + n]`.
            training: bool.

        Returns:
            Tensor `[batch, n, channels]`.
        """
        count = codes.shape[1] - self.reach + 1
        small, index = codes % MODULUS, []
        for table, length in enumerate(self.lengths):
            number = 0
            # From the earliest character of an n-gram to the last one.
            for start in range(self.reach - length, self.reach):
                number = (number * FACTOR + small[:, start : start + count]) % MODULUS
            index.append(table * self.rows + number % self.rows)
        index = ops.stack(index, axis=-1)
        if training:
            found = ops.take(dense_gradient(ops.convert_to_tensor(self.table)), index, axis=0)
        else:
            found = take_rows(self.table, index)
        joined = len(self.lengths) * self.width
        found = ops.reshape(ops.cast(found, self.compute_dtype), (-1, count, joined))
        return self.dense_out(found)

    def stays_in_rows(self, rank):
        """Returns whether rows are mixed separately and alike; see `MixingBlock.stays_in_rows`."""
        return False

    def mixing_uses(self):
        return [(self, self)]

    def make_caches(self, layer, grid, width, columns=True):
        """See `mdnn.layers.mixing.Mixer.make_caches`; the block is its own mixer."""
        return [NgramCache(self, grid, width)]

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        return product(input_shape[1:]) * len(self.lengths) * self.width

    def values(self, input_shape):
        """Returns the number of values written for one example."""
        positions = product(input_shape[1:-1])
        joined = len(self.lengths) * self.width
        return product(input_shape[1:]) * (ends(self) + 1) + positions * joined

    def get_config(self):
        return {
            **super().get_config(),
            "lengths": self.lengths,
            "rows": self.rows,
            "width": self.width,
        }
