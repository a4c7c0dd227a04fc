"""Defines `ModalityEmbedding`: tokens to one vector per position."""

import functools

import keras
from keras import ops

from mdnn.layers.decoding_steps import (
    bit_channels,
    check_modalities,
    check_table,
    column,
    is_any,
    token_bits,
    whole_size,
)
from mdnn.layers.initializers import OrderedRows, ZeroFirstRow, initializer_copy
from mdnn.layers.table_lookup import digit_rows, sum_by_modality, sum_of_letters, take_rows
from mdnn.layers.weight_rules import RuledLayer, get_initializer
from mdnn.tokens.features import NUM_FEATURES
from mdnn.tokens.modalities import MODALITIES, modality


@keras.saving.register_keras_serializable(package="mdnn")
class ModalityEmbedding(RuledLayer):
    """Embeds each token as the sum of rows of small tables, one table per byte.

    The paper embeds a pixel as the sum of three 256-row tables, one per color. Here every
    modality is embedded this way; a code point by its plane, row and cell (529 table rows instead
    of 1,114,112). Padding becomes zeros, as in the paper.

    Args:
        width: int, channels of a position's vector.
        modalities: names of the modalities that may appear (see `mdnn.tokens.MODALITIES`),
            including `"blank"` and `"end"` if mask and end tokens appear.
        table: `"bytes"`; `"full"` for the paper's tables, with one row per code point and one per
            16-bit sample; `"bits"` for no tables: the bits of the token as -1 or 1 (4 of the
            modality, 24 of the bytes, then coordinates and item, highest bit first; see
            `mdnn.layers.decoding_steps.bit_channels`), followed by zeros.
        places: bool, whether to add a table of the digits of each coordinate.
        items: bool, whether to add a table of the digits of the item number.
        base: int, base of the digits of coordinates and item numbers.
        digits: int, number of digits; `base ** digits` coordinates are distinct.
        start: `"random"`, or `"ordered"`: tables of pixels and sounds start as smooth functions of
            the byte (`mdnn.layers.initializers.OrderedRows`), so that similar bytes have similar
            vectors.
        sizes: dict from names of modalities to the channels of their tables, which a dense layer
            per modality (a kernel without bias) brings to `width`; tables of other modalities
            have `width` channels.
        letters: For the modality `"word"`: list with the code points of each word, padded with -1
            to one length. A word is embedded as the sum of its own row, the rows of its letters
            and the rows of the letters' positions in the word, as in the paper.
        embeddings_initializer: initializer of the other tables.
        subwords: int, size of the vocabulary of the modality `"subword"`; 0 without it.

    Input shape:
        int tensor of tokens `[batch, positions, 8]` (features: `mdnn.tokens.TOKEN_FEATURES`).

    Output shape:
        `[batch, positions, width]`, in the layer's compute dtype.

    Raises:
        ValueError: `modalities`, `table` or `start` is unknown; only one of the modality
            `"word"` and `letters` is present; the last axis of the input does not have size 8;
            with `"bits"`, the modality `"word"` or fewer channels than bits.
    """

    def __init__(
        self,
        width,
        modalities=("text",),
        table="bytes",
        places=False,
        items=False,
        base=32,
        digits=6,
        start="random",
        letters=None,
        embeddings_initializer=None,
        subwords=0,
        sizes=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width = int(width)
        self.modalities = check_modalities(modalities)
        self.table = check_table(table)
        if start not in ("random", "ordered"):
            raise ValueError(f"start: expected 'random' or 'ordered', received {start!r}")
        if ("word" in self.modalities) != bool(letters):
            raise ValueError(
                "letters: expected one entry per word if and only if the modality 'word' is used; "
                f"received modalities={self.modalities} and {len(letters or [])} words"
            )
        if table == "bits" and letters:
            raise ValueError("table 'bits' does not support the modality 'word'")
        self.sizes = {name: int(size) for name, size in (sizes or {}).items()}
        unknown = [name for name in self.sizes if name not in self.modalities]
        if unknown or (self.sizes and table == "bits"):
            raise ValueError(
                f"sizes: expected modalities of {self.modalities} with tables, received {sizes}"
            )
        self.places = bool(places)
        self.items = bool(items)
        self.base = int(base)
        self.digits, self.subwords = int(digits), int(subwords)
        self.start = start
        self.letters = [list(map(int, word)) for word in letters] if letters else None
        self.embeddings_initializer = get_initializer(
            embeddings_initializer or get_initializer("random_normal", stddev=0.02)
        )
        # Padding is masked in the loss; a Keras mask would slow the following layers.
        self.supports_masking = False

    def build(self, input_shape):
        if input_shape[-1] != NUM_FEATURES:
            raise ValueError(
                f"{self.name}: expected tokens [batch, positions, {NUM_FEATURES}], "
                f"received shape {tuple(input_shape)}"
            )
        if self.table == "bits":
            bits = len(self._channels())
            if self.width < bits:
                raise ValueError(
                    f"{self.name} needs a channel for each of {bits} bits, "
                    f"received width={self.width}"
                )
            return
        self.byte_tables = {
            name: [
                self._table(f"{name}_byte_{k + 1}", rows, self._start(name, k), name)
                for k, rows in enumerate(self._byte_rows(name))
            ]
            for name in self.modalities
        }
        rows = self.base * self.digits
        self.place_tables = {
            name: [
                self._table(f"{name}_place_{k + 1}", rows, kind=name)
                for k in range(len(modality(name).coordinates))
            ]
            for name in (self.modalities if self.places else ())
        }
        self.item_table = self._table("item", rows) if self.items else None
        if self.letters:
            self.letter_tables = [
                self._table(f"letter_byte_{k + 1}", n, self._start("text", k), "word")
                for k, n in enumerate(modality("text").bytes)
            ]
            self.letter_place_table = self._table("letter_place", len(self.letters[0]), kind="word")
        # Rows keep their root mean square: the variance of a kernel is 1 / its inputs.
        self.kernels = {
            name: self.add_weight(
                name=f"{name}_kernel",
                shape=(size, self.width),
                initializer=get_initializer("random_normal", stddev=size**-0.5),
            )
            for name, size in self.sizes.items()
        }

    def _channels(self):
        return bit_channels(self.places, self.items, self.base, self.digits)

    def _byte_rows(self, name):
        """Returns the numbers of rows of a modality's byte tables."""
        if size := whole_size(name, self.table, self.subwords):
            return (size,)
        if name == "word":
            return (len(self.letters),)
        # Modalities without bytes, such as `end`, have a single token.
        return modality(name).bytes or (1,)

    def _start(self, name, k):
        """Returns the initializer of a byte table, or `None` for that of other tables."""
        rms = modality(name).ordered_rms
        if self.start == "ordered" and rms:
            return OrderedRows(rms[k])
        zeros = not self._is_whole(name) and k < modality(name).leading_zeros
        return ZeroFirstRow(self.embeddings_initializer) if zeros else None

    def _table(self, name, rows, initializer=None, kind=None):
        start = initializer_copy(initializer or self.embeddings_initializer, len(self.weights))
        shape = (rows, self.sizes.get(kind, self.width))
        return self.add_weight(name=name, shape=shape, initializer=start)

    def call(self, tokens):
        tokens = ops.cast(tokens, "int32")
        if self.table == "bits":
            return self._bits(tokens)
        total = self._rows(tokens)
        kind = column(tokens, "modality")
        for name in self._apart:
            is_name = ops.cast(ops.equal(kind, modality(name).index), total.dtype)
            total = total + self._units(name, tokens) * is_name[..., None]
        return total

    @property
    def _apart(self):
        """Modalities with a look-up of their own: large tables and words."""
        return [name for name in self.modalities if name == "word" or self._is_whole(name)]

    def _is_whole(self, name):
        """Returns whether a modality has one table: one of the paper's, or that of subwords."""
        return bool(whole_size(name, self.table, self.subwords))

    def _rows(self, tokens):
        """Sums the rows of all small tables: those of bytes, coordinates and items."""
        groups = []
        for k in range(3):
            name = f"byte_{k + 1}"
            by_name = {n: self.byte_tables[n] for n in self.modalities if n not in self._apart}
            by_name = {n: tables_of[k] for n, tables_of in by_name.items() if k < len(tables_of)}
            if by_name:
                groups.append((by_name, column(tokens, name)[..., None], True))
        for k in range(3):
            by_name = {n: t[k] for n, t in self.place_tables.items() if k < len(t)}
            if by_name:
                number = digit_rows(column(tokens, f"place_{k + 1}"), self.base, self.digits)
                groups.append((by_name, number, False))
        if self.item_table is not None:
            names = [name for name, each in MODALITIES.items() if each.index > 0]
            number = digit_rows(column(tokens, "item"), self.base, self.digits)
            groups.append((dict.fromkeys(names, self.item_table), number, False))
        kind = column(tokens, "modality")
        if groups:
            return sum_by_modality(kind, groups, self._whole_table)
        return ops.zeros((*ops.shape(kind), self.width), self.compute_dtype)

    def _whole_table(self, name, table):
        """Returns the rows of a modality's small table, `[n, width]` in the compute dtype."""
        rows = ops.cast(ops.convert_to_tensor(table), self.compute_dtype)
        return self.to_stream(None if table is self.item_table else name, rows)

    def _units(self, name, tokens):
        first, second, third = (column(tokens, f"byte_{k}") for k in (1, 2, 3))
        tables = self.byte_tables[name]
        if self._is_whole(name):
            columns = (first, second, third)[: modality(name).joined]
            number = functools.reduce(lambda number, byte: number * 256 + byte, columns)
            # Bytes of other modalities may exceed the table; the result is masked by the caller.
            rows = take_rows(tables[0], ops.minimum(number, tables[0].shape[0] - 1))
            return self.to_stream(name, rows)
        number = ops.minimum(first * 256 + second, len(self.letters) - 1)
        return self.to_stream(name, ops.take(tables[0], number, axis=0) + self._letters(number))

    def to_stream(self, name, rows):
        """Brings embeddings of a modality to the stream's width.

        Args:
            name: str, the modality; `None` for tables that belong to none.
            rows: `[..., size]`, sums of rows of its tables.

        Returns:
            `[..., width]`; `rows` themselves if the modality has no size of its own.
        """
        if name not in self.sizes:
            return rows
        kernel = ops.convert_to_tensor(self.kernels[name])
        return ops.matmul(rows, ops.cast(kernel, rows.dtype))

    def word_rows(self):
        """Returns the embeddings of all words, `[words, width]`, without coordinates."""
        numbers = ops.arange(len(self.letters), dtype="int32")
        rows = ops.cast(ops.convert_to_tensor(self.byte_tables["word"][0]), self.compute_dtype)
        return self.to_stream("word", rows + self._letters(numbers))

    def _bits(self, tokens):
        signs = ops.cast(token_bits(tokens, self._channels()) * 2 - 1, self.compute_dtype)
        known = is_any(column(tokens, "modality"), self.modalities)[..., None]
        signs, rest = signs * ops.cast(known, signs.dtype), self.width - signs.shape[-1]
        return ops.pad(signs, [(0, 0)] * (len(signs.shape) - 1) + [(0, rest)])

    def _letters(self, number):
        """Sums the rows of a word's letters and of their positions in the word."""
        points = ops.take(ops.convert_to_tensor(self.letters, dtype="int32"), number, axis=0)
        tables, places = self.letter_tables, self.letter_place_table
        return sum_of_letters(points, tables, places, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def compute_output_spec(self, tokens):
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "modalities": self.modalities,
            "table": self.table,
            "places": self.places,
            "items": self.items,
            "base": self.base,
            "digits": self.digits,
            "start": self.start,
            "letters": self.letters,
            "subwords": self.subwords,
            "sizes": dict(self.sizes),
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
