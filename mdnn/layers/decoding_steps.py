"""What a position's unit is decided by, step by step: its modality, its bytes, its place."""

from dataclasses import dataclass

from keras import ops

from mdnn.tokens.features import COLUMNS, modality

# Unicode code points and 16-bit samples, the numbers of rows of the paper's own tables.
CODE_POINTS, SAMPLES = 1_114_112, 65_536

# How many byte columns are one number in the paper's own tables, and how many numbers there are.
WHOLE = {"text": (3, CODE_POINTS), "audio": (2, SAMPLES)}

TABLES = ("bytes", "full", "bits")

# Columns are 32-bit: no number of a token row is larger.
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class DecodingStep:
    """One choice among a few classes.

    The right class of a token row is `min(value, most) // divisor % classes`, where `value` is
    what the row has in `column`, and in the `joined - 1` columns after it as further bytes of
    one number. The step of the modality has `values` instead: a class for each of them.

    Args:
        name: of the step, the same in weights' names.
        column: name of a column of token rows.
        divisor: int, what the value of class 1 is worth.
        classes: int, how many there are.
        kinds: names of the modalities whose units have this step; `None`: all.
        given: names of the steps whose classes this one is conditioned on.
        joined: how many byte columns are read as one number, the first one highest.
        most: largest value; larger ones, which other modalities may have there, mean this one.
        values: values of the column, one per class; `None`: by the divisor.
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
    def part(self):
        """The part of a unit that is decided: `"modality"`, `"byte_1"` to `3` or `"place"`."""
        return "place" if self.column.startswith("place") else self.column

    @property
    def columns(self):
        """Names of the columns that it decides."""
        first = COLUMNS.index(self.column)
        return COLUMNS[first : first + self.joined]

    def answer(self, tokens):
        """The right class of each token row: `[..., 8]` to int32 `[...]`."""
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
        """Whether the unit of each token row has this step: `[..., 8]` to float32 `[...]`."""
        kind = column(tokens, "modality")
        if self.kinds is None:
            return ops.cast(ops.not_equal(kind, 0), "float32")
        return is_any(kind, self.kinds)

    def write(self, row, answer):
        """Adds to a token row what a class of this step says.

        Args:
            row: dict from column to int32 tensor `[...]`; its columns begin at 0.
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
    """One column of token rows `[..., 8]`, by its name in `COLUMNS`, as `[...]`."""
    return tokens[..., COLUMNS.index(name)]


def is_any(kind, names):
    """1 where an index of a modality `[...]` is that of one of the names, else 0: float32."""
    found = [ops.cast(ops.equal(kind, modality(name).index), "float32") for name in names]
    return sum(found) if found else ops.zeros_like(kind, dtype="float32")


def check_modalities(names):
    """Names of modalities as a list.

    Raises:
        ValueError: no name, an unknown one, one named twice, or padding, which has no units.
    """
    names = [modality(name).name for name in names]
    if not names or len(set(names)) < len(names) or "padding" in names:
        raise ValueError(f"modalities are different ones with units, received {names}")
    return names


def check_table(table):
    """Raises ValueError for a table that there is not."""
    if table not in TABLES:
        raise ValueError(f"table is 'bytes', 'full' or 'bits', received {table!r}")
    return table


def decoding_steps(modalities, table="bytes", places=False, base=32, digits=6):
    """What a position's unit is decided by, in order.

    First the modality, where there is more than one; then for each modality the bytes of its
    units, each given the bytes before it, and the coordinates of their places in digits, the
    highest first, each given the higher ones. The product of all steps' probabilities that a
    unit has is the probability of the unit.

    Args:
        modalities: names of modalities. The classes of the modality step are these, in the
            order given.
        table: `"bytes"`; `"full"`: one step for a code point and one for a sample, as in the
            paper; `"bits"`: a step of two classes for each bit, the same for all modalities.
        places: whether the unit's place is decided, too.
        base: int, base of the digits.
        digits: int, number of digits; places count modulo `base ** digits`.

    Returns:
        List of `DecodingStep`.

    Raises:
        ValueError: a table that there is not.
    """
    check_table(table)
    if table == "bits":
        return _bit_steps(modalities, places, base, digits)
    steps = []
    if len(modalities) > 1:
        indices = tuple(modality(name).index for name in modalities)
        steps.append(DecodingStep("modality", "modality", 1, len(indices), None, values=indices))
    for name in modalities:
        steps += _byte_steps(name, table)
        for k in range(modality(name).places if places else 0):
            steps += _digit_steps(name, f"place_{k + 1}", base, digits)
    return steps


def _byte_steps(name, table):
    if table == "full" and name in WHOLE:
        joined, classes = WHOLE[name]
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
    """Steps of one coordinate; digits that no 32-bit number has are none."""
    steps = []
    # Counted from the lowest digit, so that a network with one more digit knows the others.
    for digit in range(digits, 0, -1):
        divisor = base ** (digit - 1)
        if divisor <= LARGEST:
            given = tuple(step.name for step in steps)
            classes = min(base, LARGEST // divisor + 1)
            steps.append(
                DecodingStep(f"{name}_{where}_{digit}", where, divisor, classes, (name,), given)
            )
    return steps


def number_bits(base, digits):
    """How many bits a number of so many digits has, at most the 31 of a token row."""
    return min((base**digits - 1).bit_length(), 31)


def bit_channels(places=False, items=False, base=32, digits=6):
    """Which bit of a token row each channel of its bits holds, the highest bit first.

    Args:
        places: whether the bits of the three coordinates follow those of modality and bytes.
        items: whether the bits of the item's number come last.
        base, digits: as in `decoding_steps`; they say how many bits a coordinate has.

    Returns:
        List of `(name of the column, number of the bit)`: 4 of the modality, 8 of each byte.
    """
    sizes = [("modality", 4)] + [(f"byte_{k}", 8) for k in (1, 2, 3)]
    numbers = [f"place_{k}" for k in (1, 2, 3)] * places + ["item"] * items
    sizes += [(name, number_bits(base, digits)) for name in numbers]
    return [(name, bit) for name, count in sizes for bit in range(count - 1, -1, -1)]


def _bit_steps(modalities, places, base, digits):
    steps = []
    for where, bit in bit_channels(places, False, base, digits):
        kinds = None
        if where != "modality":
            group, number = where.split("_")
            count = {"byte": lambda kind: len(kind.bytes), "place": lambda kind: kind.places}[group]
            kinds = tuple(name for name in modalities if count(modality(name)) >= int(number))
        steps.append(DecodingStep(f"{where}_bit_{bit + 1}", where, 2**bit, 2, kinds))
    return steps
