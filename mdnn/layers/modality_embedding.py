"""Tokens in, one vector per slot out."""

import keras
from keras import ops

from mdnn.layers.initializer_copies import initializer_copy
from mdnn.tokens.units import COLUMNS, WIDTH, modality

# Unicode code points, the number of rows of the paper's own text table.
CODE_POINTS = 1_114_112


def column(tokens, name):
    """One column of token rows `[..., 8]`, by its name in `COLUMNS`, as `[...]`."""
    return tokens[..., COLUMNS.index(name)]


def check_modalities(names):
    """Names of modalities as a list.

    Raises:
        ValueError: no name, an unknown one, one named twice, or padding, which has no units.
    """
    names = [modality(name).name for name in names]
    if not names or len(set(names)) < len(names) or "padding" in names:
        raise ValueError(f"modalities are different ones with units, received {names}")
    return names


def sum_of_rows(tables, rows):
    """The sum of one row of each table.

    Args:
        tables: list of k tables `[n_k, width]`.
        rows: list of k integer tensors `[...]`. A row beyond its table means its last row:
            what other modalities have in the same columns is masked by the caller.

    Returns:
        `[..., width]`.
    """
    starts = [sum(table.shape[0] for table in tables[:k]) for k in range(len(tables))]
    rows = [
        ops.minimum(row, table.shape[0] - 1) + start
        for row, table, start in zip(rows, tables, starts, strict=True)
    ]
    # One gather from the joined table: its gradient is dense and comes in one piece.
    joined = ops.concatenate([ops.convert_to_tensor(table) for table in tables], axis=0)
    return ops.sum(ops.take(joined, ops.stack(rows, axis=-1), axis=0), axis=-2)


def digit_rows(number, base, digits):
    """Row numbers of the digits of `number` in one table of `digits * base` rows.

    Args:
        number: integer tensor `[...]`, at least 0.
        base: int, the number of values of a digit.
        digits: int, how many digits, the lowest first. Numbers from `base ** digits` on
            wrap around.

    Returns:
        Integer tensor `[..., digits]`.
    """
    # Digits that a 32-bit number cannot have are 0, and their base's power is no such number.
    rows = [
        (number // base**d) % base + d * base
        if base**d < 2**31
        else ops.full_like(number, d * base)
        for d in range(digits)
    ]
    return ops.stack(rows, axis=-1)


@keras.saving.register_keras_serializable(package="mdnn")
class ModalityEmbedding(keras.layers.Layer):
    """One vector per slot: the sum of small tables, one for each byte of the slot's unit.

    The paper embeds a pixel as the sum of three 256-row tables, one per colour; here every
    modality is embedded like that, a code point by its plane, row and cell (529 rows instead
    of 1,114,112). Padding slots become zeros, as the paper's zero padding.

    Args:
        width: int, length of a slot's vector.
        modalities: names of the modalities that may appear (see `mdnn.tokens.MODALITIES`).
        table: `"bytes"`, or `"full"` for the paper's own table of text: one row per code point.
        places: whether a table of the digits of each place coordinate is added.
        items: whether a table of the digits of the item's number is added.
        base: int, base of the digits of places and items.
        digits: int, number of digits; `base ** digits` places are told apart.
        letters: for the modality `"word"`: a list, one entry per word, of its code points,
            padded with -1 to one length. Each word then has a row of its own, plus the rows of
            its letters and of the letters' positions in the word (the paper's word embeddings
            with letters added).
        embeddings_initializer: initializer of every table.

    Input shape:
        Integer tensor of tokens `[batch, slots, 8]` (columns: `mdnn.tokens.COLUMNS`).

    Output shape:
        `[batch, slots, width]`, in the layer's compute dtype.

    Raises:
        ValueError: modalities or a table that there are not; words without letters or letters
            without words; an input whose last axis is not a token row.
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
        letters=None,
        embeddings_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width = int(width)
        self.modalities = check_modalities(modalities)
        if table not in ("bytes", "full"):
            raise ValueError(f"table is 'bytes' or 'full', received {table!r}")
        if ("word" in self.modalities) != bool(letters):
            raise ValueError(
                "the modality 'word' and a list of the words' letters belong together, received "
                f"modalities={self.modalities} and {len(letters or [])} words"
            )
        self.table = table
        self.places = bool(places)
        self.items = bool(items)
        self.base = int(base)
        self.digits = int(digits)
        self.letters = [list(map(int, word)) for word in letters] if letters else None
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        # The loss says which slots count; a mask would only slow the layers that follow.
        self.supports_masking = False

    def build(self, input_shape):
        if input_shape[-1] != WIDTH:
            raise ValueError(
                f"{self.name} takes tokens [batch, slots, {WIDTH}], "
                f"received shape {tuple(input_shape)}"
            )
        self.byte_tables = {
            name: [
                self._table(f"{name}_byte_{k + 1}", rows)
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

    def _byte_rows(self, name):
        """Rows of the tables of one modality's units."""
        if name == "text" and self.table == "full":
            return (CODE_POINTS,)
        if name == "word":
            return (len(self.letters),)
        return modality(name).bytes

    def _table(self, name, rows):
        start = initializer_copy(self.embeddings_initializer, len(self.weights))
        return self.add_weight(name=name, shape=(rows, self.width), initializer=start)

    def call(self, tokens):
        tokens = ops.cast(tokens, "int32")
        kind = column(tokens, "modality")
        total = 0
        for name in self.modalities:
            vectors = self._units(name, tokens)
            for k, table in enumerate(self.place_tables.get(name, ())):
                rows = digit_rows(column(tokens, f"place_{k + 1}"), self.base, self.digits)
                vectors = vectors + ops.sum(ops.take(table, rows, axis=0), axis=-2)
            is_name = ops.cast(ops.equal(kind, modality(name).index), vectors.dtype)
            total = total + vectors * is_name[..., None]
        if self.item_table is not None:
            rows = digit_rows(column(tokens, "item"), self.base, self.digits)
            vectors = ops.sum(ops.take(self.item_table, rows, axis=0), axis=-2)
            total = total + vectors * ops.cast(ops.not_equal(kind, 0), vectors.dtype)[..., None]
        return total

    def _units(self, name, tokens):
        first, second, third = (column(tokens, f"byte_{k}") for k in (1, 2, 3))
        tables = self.byte_tables[name]
        if name == "text" and self.table == "full":
            # Other modalities' bytes may name a row beyond the table; they are masked later.
            point = ops.minimum(first * 65_536 + second * 256 + third, CODE_POINTS - 1)
            return ops.take(tables[0], point, axis=0)
        if name == "word":
            number = ops.minimum(first * 256 + second, len(self.letters) - 1)
            return ops.take(tables[0], number, axis=0) + self._letters(number)
        return sum_of_rows(tables, (first, second, third))

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
            "letters": self.letters,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
