"""Puzzles: which there are, by name, and their grids as token rows and back."""

import math
import re
from dataclasses import dataclass

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table

_ROW = table.modality("symbol")

SYMBOLS = _ROW.bytes[0]
"""Symbols that a task's alphabet has at most."""

SIZES = {
    "sudoku": (2, (4, 6, 9)),
    "maze": (2, range(3, 1002)),
    "prefix-sums": (1, range(1, 1_000_001)),
    "addition": (1, range(1, 10_001)),
}
"""Kinds of puzzles: how many sizes their names have, and which."""

_NAME = re.compile(rf"({'|'.join(SIZES)})-([0-9]+(?:x[0-9]+)*)")

TABLES = (".csv", ".tsv", ".txt", ".sdm", ".sdk")
"""Ends of the names of files that are sudokus where nothing else is said."""

KNOWN = "sudoku-9x9, maze-9x9, prefix-sums-32, addition-20"
"""Names as examples, for errors."""


@dataclass(frozen=True)
class PuzzleName:
    """A kind of puzzle and its sizes.

    Args:
        kind: One of `SIZES`.
        sizes: Rows and columns; of prefix sums the bits, of additions the digits of a number.

    Raises:
        MdnnError: If there is no such kind or size.

    Example:

    >>> PuzzleName.of("addition-20").shape
    (3, 22)
    """

    kind: str
    sizes: tuple[int, ...]

    def __post_init__(self):
        if self.kind not in SIZES:
            raise MdnnError(f"unknown puzzle {self.kind!r}; known: {KNOWN}")
        count, known = SIZES[self.kind]
        wrong = [size for size in self.sizes if size not in known]
        square = self.kind != "sudoku" or len(set(self.sizes)) == 1
        if len(self.sizes) != count or wrong or not square:
            words = (
                ", ".join(f"{n}x{n}" for n in known)
                if self.kind == "sudoku"
                else f"{count} sizes from {known[0]} to {known[-1]}"
                if count > 1
                else f"a size from {known[0]} to {known[-1]}"
            )
            received = "x".join(map(str, self.sizes))
            raise MdnnError(f"sizes of {self.kind}: expected {words}; received {received}")

    def __str__(self):
        return f"{self.kind}-{'x'.join(map(str, self.sizes))}"

    @property
    def shape(self):
        """The grid of positions, a tuple."""
        # Two numbers and their sum below each other, a sign and a carry before the digits.
        return (3, self.sizes[0] + 2) if self.kind == "addition" else self.sizes

    @property
    def positions(self):
        """Number of the grid's positions."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, name):
        """The puzzle of a name, `None` where it is the name of something else.

        Raises:
            MdnnError: If it is a puzzle's name with an impossible size.
        """
        found = _NAME.fullmatch(name)
        return found and cls(found[1], tuple(map(int, found[2].split("x"))))


def puzzle_source(source):
    """Returns what a source of puzzles names.

    Args:
        source: String: a task (`"maze-9x9"`), a task and a file of such puzzles
            (`"maze-9x9:mazes.csv"`), or a file of sudokus (`"sudokus.csv"`).

    Returns:
        `PuzzleName` or `None`, and the file's path or `None`; both `None` where the source is none
        of puzzles.

    Raises:
        MdnnError: If a puzzle's size is impossible or missing.
    """
    task, colon, path = source.partition(":")
    if colon and path and _NAME.fullmatch(task):
        return PuzzleName.of(task), path
    if colon and task in SIZES:
        raise MdnnError(f"expected a puzzle with its size, as {KNOWN}; received {source!r}")
    if source.lower().endswith(TABLES):
        return None, source
    return PuzzleName.of(source), None


def to_tokens(units, shape):
    """Returns the token rows of puzzles.

    Args:
        units: Integers `[..., positions]`, places of symbols in an alphabet.
        shape: Tuple of integers, the grid.

    Returns:
        int32 `[..., positions, 8]`; the places are row and column, of a grid of one axis 0 and the
        number of the position.
    """
    units = np.asarray(units)
    rows = np.zeros((*units.shape, table.WIDTH), dtype=np.int32)
    rows[..., table.MODALITY] = _ROW.index
    rows[..., table.BYTES.start] = units
    columns = shape[-1]
    position = np.arange(units.shape[-1])
    rows[..., table.PLACES.start] = position // columns
    rows[..., table.PLACES.start + 1] = position % columns
    return rows


def to_units(tokens):
    """Returns the units of token rows `[..., positions, 8]`, uint8 `[..., positions]`.

    Raises:
        MdnnError: If a row is no symbol.
    """
    tokens = np.asarray(tokens)
    strange = tokens[..., table.MODALITY] != _ROW.index
    if strange.any():
        kind = tokens[..., table.MODALITY][strange].flat[0]
        raise MdnnError(f"expected tokens of symbols; received modality {kind}")
    return tokens[..., table.BYTES.start].astype(np.uint8)
