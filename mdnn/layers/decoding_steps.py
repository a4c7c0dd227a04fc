"""Splits the prediction of a token into classification steps: modality, bytes, coordinates."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from mdnn.tokens.features import MAX_TOKEN_VALUE, TOKEN_FEATURES
from mdnn.tokens.modalities import modality

TABLES = ("bytes", "full", "bits")


@dataclass(frozen=True)
class DecodingStep:
    """Describes one classification step of a token's prediction.

    The target class of a token is `min(value, most) // divisor % classes`, where `value` is the
    integer in `column`; with `joined > 1`, the following columns are its lower bytes. The modality
    step lists the value of each class in `values` instead.

    Args:
        name: str, the name of the step, also used in weight names.
        column: str, the name of a token's column.
        divisor: int, the value of class 1.
        classes: int, number of classes.
        kinds: names of the modalities that have this step; `None` for all.
        given: names of the steps whose classes this one is conditioned on.
        joined: int, number of byte columns read as one number, most significant first.
        most: int, maximum value; larger values, which other modalities may have in this
            column, are clipped.
        values: Values of the column, one per class; `None` to use the divisor.
    """

    name: str
    column: str
    divisor: int
    classes: int
    kinds: tuple[str, ...] | None
    given: tuple[str, ...] = ()
    joined: int = 1
    most: int | None = None
    values: tuple[int, ...] | None = None

    @property
    def group(self):
        """Group for loss weights: `"modality"`, `"byte_1"` to `"byte_3"` or `"coordinate"`."""
        return "coordinate" if self.column.startswith("place") else self.column

    @property
    def columns(self):
        """Names of the columns that the step predicts."""
        first = TOKEN_FEATURES.index(self.column)
        return TOKEN_FEATURES[first : first + self.joined]

    def answer(self, tokens):
        """Returns the target class of each token: `[..., 8]` to int32 `[...]`."""
        value = column(tokens, self.column)
        if self.values is not None:
            return sum(
                k * ops.cast(ops.equal(value, v), "int32") for k, v in enumerate(self.values)
            )
        for further in self.columns[1:]:
            value = value * 256 + column(tokens, further)
        if self.most is not None:
            value = ops.minimum(value, self.most)
        return value // self.divisor % self.classes

    def has(self, tokens):
        """Returns 1 for tokens that have this step, else 0: `[..., 8]` to float32 `[...]`."""
        kind = column(tokens, "modality")
        if self.kinds is None:
            return ops.cast(ops.not_equal(kind, 0), "float32")
        return is_any(kind, self.kinds)

    def write(self, row, answer):
        """Adds the value of a class to a token's columns, in place.

        Args:
            row: dict from column name to int32 tensor `[...]`; columns start as zeros.
            answer: int32 `[...]`, the classes.
        """
        if self.values is not None:
            row[self.column] = ops.take(ops.convert_to_tensor(self.values, "int32"), answer)
            return
        for k, name in enumerate(self.columns):
            byte = answer // 256 ** (self.joined - 1 - k)
            byte = byte if k == 0 else byte % 256
            row[name] = row[name] + byte * self.divisor


def column(tokens, name):
    """Returns one column of tokens `[..., 8]` by its name in `TOKEN_FEATURES`: `[...]`."""
    return tokens[..., TOKEN_FEATURES.index(name)]


def is_any(kind, names):
    """Returns 1 where a modality index `[...]` belongs to one of the names, else 0: float32."""
    matches = [ops.cast(ops.equal(kind, modality(name).index), "float32") for name in names]
    return sum(matches) if matches else ops.zeros_like(kind, dtype="float32")


def check_modalities(names):
    """Validates names of modalities and returns them as a list.

    Raises:
        ValueError: there is no name, or one is unknown, repeated or padding.
    """
    names = [modality(name).name for name in names]
    if not names or len(set(names)) < len(names) or "padding" in names:
        raise ValueError(f"modalities: expected distinct names, no padding; received {names}")
    return names


def check_table(table):
    """Validates and returns the name of a table form.

    Raises:
        ValueError: it is not in `TABLES`.
    """
    if table not in TABLES:
        raise ValueError(f"table: expected 'bytes', 'full' or 'bits', received {table!r}")
    return table


def decoding_steps(modalities, table="bytes", places=False, base=32, digits=6, subwords=0):
    """Lists the classification steps of a token, in order.

    The first step is the modality, if there are several. Then, for each modality, one step per
    byte, conditioned on the bytes before it, and one step per digit of each coordinate, highest
    digit first, conditioned on the higher digits. A token's probability is the product of the
    probabilities of its steps.

    Args:
        modalities: names of modalities; the modality step has one class for each, in this order.
        table: `"bytes"`; `"full"`: one step per code point and one per sample, as in the paper;
            `"bits"`: one step of two classes per bit, the same for all modalities.
        places: bool, whether coordinates are predicted.
        base: int, base of the coordinates' digits.
        digits: int, number of digits; coordinates are predicted modulo `base ** digits`.
        subwords: int, size of the vocabulary of subwords, the classes of a single step.

    Returns:
        List of `DecodingStep`.

    Raises:
        ValueError: `table` is unknown.
    """
    check_table(table)
    if table == "bits":
        return _bit_steps(modalities, places, base, digits)
    steps = []
    if len(modalities) > 1:
        indices = tuple(modality(name).index for name in modalities)
        steps.append(DecodingStep("modality", "modality", 1, len(indices), None, values=indices))
    for name in modalities:
        steps += _byte_steps(name, table, subwords)
        for k in range(len(modality(name).coordinates) if places else 0):
            steps += _digit_steps(name, f"place_{k + 1}", base, digits)
    return steps


def whole_size(name, table, subwords):
    """Returns the number of values of a modality whose bytes are one number; `None` for bytes.

    Args:
        name: Name of the modality.
        table: See `decoding_steps`.
        subwords: int, size of the vocabulary of subwords.
    """
    if modality(name).sized_by_vocabulary:
        return subwords
    return modality(name).whole_values if table == "full" else None


def _byte_steps(name, table, subwords):
    if classes := whole_size(name, table, subwords):
        joined = modality(name).joined
        step = f"{name}_byte_1"
        return [DecodingStep(step, "byte_1", 1, classes, (name,), joined=joined, most=classes - 1)]
    steps = []
    for k, classes in enumerate(modality(name).bytes):
        given = tuple(step.name for step in steps)
        step = f"{name}_byte_{k + 1}"
        steps.append(
            DecodingStep(step, f"byte_{k + 1}", 1, classes, (name,), given, most=classes - 1)
        )
    return steps


def _digit_steps(name, where, base, digits):
    """Lists the steps of one coordinate, without digits above 32 bits."""
    steps = []
    # Names count from the lowest digit, so that weights fit a network with more digits.
    for digit in range(digits, 0, -1):
        divisor = base ** (digit - 1)
        if divisor <= MAX_TOKEN_VALUE:
            given = tuple(step.name for step in steps)
            classes = min(base, MAX_TOKEN_VALUE // divisor + 1)
            steps.append(
                DecodingStep(f"{name}_{where}_{digit}", where, divisor, classes, (name,), given)
            )
    return steps


def number_bits(base, digits):
    """Returns the number of bits of a coordinate, at most 31."""
    return min((base**digits - 1).bit_length(), 31)


def bit_channels(places=False, items=False, base=32, digits=6):
    """Maps channels to bits of a token, highest bit first.

    Args:
        places: bool, whether the bits of the three coordinates follow those of the bytes.
        items: bool, whether the bits of the item number come last.
        base, digits: Integers as in `decoding_steps`; they set the bits per coordinate.

    Returns:
        List of `(column name, bit index)`, one per channel: 4 bits of the modality, 8 bits of
        each byte, then the optional ones.
    """
    sizes = [("modality", 4)] + [(f"byte_{k}", 8) for k in (1, 2, 3)]
    numbers = [f"place_{k}" for k in (1, 2, 3)] * places + ["item"] * items
    sizes += [(name, number_bits(base, digits)) for name in numbers]
    return [(name, bit) for name, count in sizes for bit in range(count - 1, -1, -1)]


def token_bits(tokens, channels):
    """Returns the bits of tokens `[..., 8]`, integers `[..., len(channels)]` of 0 and 1.

    Args:
        tokens: int tensor.
        channels: See `bit_channels`.
    """
    return ops.stack([column(tokens, name) // 2**bit % 2 for name, bit in channels], axis=-1)


def bit_scores(step, hidden, channels):
    """Returns the scores of a step's numbers: the sum of the scores of each number's 1 bits.

    Bits are independent, so the softmax of the sums is the product of the bits' probabilities.

    Args:
        step: a `DecodingStep` whose numbers are bits of one column.
        hidden: float tensor `[..., width]`, whose first channels are the scores of the bits.
        channels: See `bit_channels`.

    Returns:
        float32 `[..., classes]`.
    """
    places = [k for k, (where, _) in enumerate(channels) if where == step.column]
    first, last = places[0], places[-1] + 1
    numbers = np.arange(step.classes) if step.values is None else np.array(step.values)
    numbers = numbers * step.divisor
    bits = np.array([bit for _, bit in channels[first:last]])
    patterns = (numbers[None] >> bits[:, None] & 1).astype("float32")
    return ops.matmul(ops.cast(hidden[..., first:last], "float32"), patterns)


def _bit_steps(modalities, places, base, digits):
    steps = []
    for where, bit in bit_channels(places, False, base, digits):
        kinds = None
        if where != "modality":
            group, number = where.split("_")
            count = {
                "byte": lambda kind: len(kind.bytes),
                "place": lambda kind: len(kind.coordinates),
            }[group]
            kinds = tuple(name for name in modalities if count(modality(name)) >= int(number))
        steps.append(DecodingStep(f"{where}_bit_{bit + 1}", where, 2**bit, 2, kinds))
    return steps
