"""Tokens in, one vector per position out."""

import keras
import numpy as np
from keras import ops

from mdnn.layers.decoding_steps import (
    WHOLE,
    bit_channels,
    check_modalities,
    check_table,
    column,
    is_any,
)
from mdnn.layers.initializers import OrderedRows, initializer_copy
from mdnn.layers.table_lookup import dense_gradient, digit_rows, sum_of_rows
from mdnn.layers.weight_rules import RuledLayer
from mdnn.tokens.features import MODALITIES, WIDTH, modality

# Root mean squares of ordered tables at the start, of a pixel's bytes and a sample's high one,
# and of a sample's low one.
HIGH_BYTE, LOW_BYTE = 0.05, 0.005

# What is said in shades: near bytes look or sound alike.
SHADES = ("image", "grey", "video", "grey_video", "audio")


@keras.saving.register_keras_serializable(package="mdnn")
class ModalityEmbedding(RuledLayer):
    """One vector per position: the sum of small tables, one for each byte of the position's unit.

    The paper embeds a pixel as the sum of three 256-row tables, one per colour; here every
    modality is embedded like that, a code point by its plane, row and cell (529 rows instead
    of 1,114,112). Padding positions become zeros, as the paper's zero padding.

    Args:
        width: int, length of a position's vector.
        modalities: names of the modalities that may appear (see `mdnn.tokens.MODALITIES`),
            `"blank"` and `"end"` among them where there are such positions.
        table: `"bytes"`; `"full"` for the paper's own tables, one row per code point and one
            per 16-bit sample; `"bits"` for no table at all: each bit of the token row as -1 or
            1 (4 of the modality, 24 of the bytes, then those of places and item, the highest
            bit first; see `mdnn.layers.decoding_steps.bit_channels`), then zeros.
        places: whether a table of the digits of each place coordinate is added.
        items: whether a table of the digits of the item's number is added.
        base: int, base of the digits of places and items.
        digits: int, number of digits; `base ** digits` places are told apart.
        start: `"random"`, or `"ordered"`: tables of pixels and sounds start as smooth functions
            of the byte (`mdnn.layers.initializers.OrderedRows`), so that near bytes have near
            rows.
        letters: for the modality `"word"`: a list, one entry per word, of its code points,
            padded with -1 to one length. Each word then has a row of its own, plus the rows of
            its letters and of the letters' positions in the word (the paper's word embeddings
            with letters added).
        embeddings_initializer: initializer of every other table.

    Input shape:
        Integer tensor of tokens `[batch, positions, 8]` (columns: `mdnn.tokens.COLUMNS`).

    Output shape:
        `[batch, positions, width]`, in the layer's compute dtype.

    Raises:
        ValueError: modalities, a table or a start that there are not; words without letters or
            letters without words; an input whose last axis is not a token row; for `"bits"`
            words, whose letters have no bits, or a width of fewer channels than bits.
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
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width = int(width)
        self.modalities = check_modalities(modalities)
        self.table = check_table(table)
        if start not in ("random", "ordered"):
            raise ValueError(f"start is 'random' or 'ordered', received {start!r}")
        if ("word" in self.modalities) != bool(letters):
            raise ValueError(
                "the modality 'word' and a list of the words' letters belong together, received "
                f"modalities={self.modalities} and {len(letters or [])} words"
            )
        if table == "bits" and letters:
            raise ValueError("table 'bits' has no letters: it takes no modality 'word'")
        self.places = bool(places)
        self.items = bool(items)
        self.base = int(base)
        self.digits = int(digits)
        self.start = start
        self.letters = [list(map(int, word)) for word in letters] if letters else None
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        # The loss says which positions count; a mask would only slow the layers that follow.
        self.supports_masking = False

    def build(self, input_shape):
        if input_shape[-1] != WIDTH:
            raise ValueError(
                f"{self.name} takes tokens [batch, positions, {WIDTH}], "
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
                self._table(f"{name}_byte_{k + 1}", rows, self._ordered(name, k))
                for k, rows in enumerate(self._byte_rows(name))
            ]
            for name in self.modalities
        }
        rows = self.base * self.digits
        self.place_tables = {
            name: [self._table(f"{name}_place_{k + 1}", rows) for k in range(modality(name).places)]
            for name in (self.modalities if self.places else ())
        }
        self.item_table = self._table("item", rows) if self.items else None
        if self.letters:
            self.letter_tables = [
                self._table(f"letter_byte_{k + 1}", n) for k, n in enumerate(modality("text").bytes)
            ]
            self.letter_place_table = self._table("letter_place", len(self.letters[0]))

    def _channels(self):
        return bit_channels(self.places, self.items, self.base, self.digits)

    def _byte_rows(self, name):
        """Rows of the tables of one modality's units."""
        if self.table == "full" and name in WHOLE:
            return (WHOLE[name][1],)
        if name == "word":
            return (len(self.letters),)
        # An end is always the same unit.
        return modality(name).bytes or (1,)

    def _ordered(self, name, k):
        """The start of the table of a byte, where it is not that of other tables."""
        if self.start != "ordered" or name not in SHADES:
            return None
        # A sound's low byte jumps from 255 to 0 where the sample grows by one: it starts low.
        return OrderedRows(LOW_BYTE if name == "audio" and k > 0 else HIGH_BYTE)

    def _table(self, name, rows, initializer=None):
        start = initializer_copy(initializer or self.embeddings_initializer, len(self.weights))
        return self.add_weight(name=name, shape=(rows, self.width), initializer=start)

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
        """Modalities whose units are looked up by themselves: large tables, words' letters."""
        return [n for n in self.modalities if n == "word" or (self.table == "full" and n in WHOLE)]

    def _rows(self, tokens):
        """The sum of the rows of all small tables, taken in one look-up.

        The modality says where in the joined tables a byte's or place's own table begins. A
        look-up per modality would take as long for each of them.
        """
        kind = column(tokens, "modality")
        tables, groups = [], []
        for k in range(3):
            name = f"byte_{k + 1}"
            own = {n: self.byte_tables[n] for n in self.modalities if n not in self._apart}
            own = {n: tables_of[k] for n, tables_of in own.items() if k < len(tables_of)}
            groups.append((own, column(tokens, name)[..., None], "bytes"))
        for k in range(3):
            own = {n: t[k] for n, t in self.place_tables.items() if k < len(t)}
            groups.append((own, column(tokens, f"place_{k + 1}"), "digits"))
        if self.item_table is not None:
            own = {row.name: self.item_table for row in MODALITIES if row.index > 0}
            groups.append((own, column(tokens, "item"), "digits"))
        indices, starts = [], {}
        size = 1  # the first row is zeros
        for own, number, what in groups:
            if not own:
                continue
            begin, most = np.zeros(len(MODALITIES), "int32"), np.zeros(len(MODALITIES), "int32")
            for name, table in own.items():
                if id(table) not in starts:
                    starts[id(table)] = size
                    tables.append(table)
                    size += table.shape[0]
                at = modality(name).index
                begin[at], most[at] = starts[id(table)], table.shape[0] - 1
            # What is no modality's index has no row.
            known = ops.where(kind < len(MODALITIES), kind, 0)
            begin = ops.take(ops.convert_to_tensor(begin), known)[..., None]
            if what == "digits":
                number = digit_rows(number, self.base, self.digits)
            else:
                # Other kinds of bytes in the same column may be larger.
                most = ops.take(ops.convert_to_tensor(most), known)[..., None]
                number = ops.minimum(number, most)
            indices.append(ops.where(begin > 0, begin + number, 0))
        if not tables:
            return ops.zeros((*ops.shape(kind), self.width), self.compute_dtype)
        zeros = ops.zeros((1, self.width), self.compute_dtype)
        joined = [ops.cast(ops.convert_to_tensor(table), self.compute_dtype) for table in tables]
        joined = dense_gradient(ops.concatenate([zeros, *joined], axis=0))
        return ops.sum(ops.take(joined, ops.concatenate(indices, axis=-1), axis=0), axis=-2)

    def _units(self, name, tokens):
        first, second, third = (column(tokens, f"byte_{k}") for k in (1, 2, 3))
        tables = self.byte_tables[name]
        if self.table == "full" and name in WHOLE:
            number = first * 256 + second
            number = number * 256 + third if WHOLE[name][0] == 3 else number
            # Other modalities' bytes may name a row beyond the table; they are masked later.
            return ops.take(tables[0], ops.minimum(number, tables[0].shape[0] - 1), axis=0)
        number = ops.minimum(first * 256 + second, len(self.letters) - 1)
        return ops.take(tables[0], number, axis=0) + self._letters(number)

    def word_rows(self):
        """Returns the embedding of every word of the table, `[words, width]`, without places."""
        numbers = ops.arange(len(self.letters), dtype="int32")
        rows = ops.cast(ops.convert_to_tensor(self.byte_tables["word"][0]), self.compute_dtype)
        return rows + self._letters(numbers)

    def _bits(self, tokens):
        bits = [column(tokens, name) // 2**bit % 2 for name, bit in self._channels()]
        signs = ops.cast(ops.stack(bits, axis=-1) * 2 - 1, self.compute_dtype)
        known = is_any(column(tokens, "modality"), self.modalities)
        signs = signs * ops.cast(known, signs.dtype)[..., None]
        rest = self.width - len(bits)
        return ops.pad(signs, [(0, 0)] * (len(signs.shape) - 1) + [(0, rest)])

    def _letters(self, number):
        """The sum of the letters of each word and of their positions in it."""
        points = ops.take(ops.convert_to_tensor(self.letters, dtype="int32"), number, axis=0)
        present = ops.cast(points >= 0, self.compute_dtype)[..., None]
        points = ops.maximum(points, 0)
        planes = (points // 65_536, points // 256 % 256, points % 256)
        letters = sum_of_rows(self.letter_tables, planes)
        places = ops.cast(ops.convert_to_tensor(self.letter_place_table), letters.dtype)
        return ops.sum((letters + places) * present, axis=-2)

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
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
