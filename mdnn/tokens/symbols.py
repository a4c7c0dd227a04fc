"""Parses puzzle names and converts puzzle grids to tokens and back."""

import math
import re
from dataclasses import dataclass

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table
from mdnn.tokens.modalities import modality

_SYMBOL = modality("symbol")

SYMBOLS = _SYMBOL.bytes[0]
"""Maximum number of symbols in a puzzle's alphabet."""

PUZZLE_SIZES = {
    "sudoku": (2, (4, 6, 9)),
    "maze": (2, range(3, 1002)),
    "prefix-sums": (1, range(1, 1_000_001)),
    "addition": (1, range(1, 10_001)),
}
"""Number of sizes in a puzzle's name and the sizes allowed, by kind."""

_NAME = re.compile(rf"({'|'.join(PUZZLE_SIZES)})-([0-9]+(?:x[0-9]+)*)")

TABLES = (".csv", ".tsv", ".txt", ".sdm", ".sdk", ".ss", ".jsonl")
"""Suffixes of file names that are read as sudokus by default."""

KNOWN = "sudoku-9x9, maze-9x9, prefix-sums-32, addition-20"
"""Example names for error messages."""


@dataclass(frozen=True)
class PuzzleName:
    """Names a puzzle by its kind and sizes.

    Args:
        kind: str, a key of `PUZZLE_SIZES`.
        sizes: tuple of ints: rows and columns of a sudoku or maze, the number of bits of
            prefix sums, the number of digits of an addition.

    Raises:
        MdnnError: the kind is unknown or a size is not allowed.

    Example:

    >>> PuzzleName.of("addition-20").shape
    (3, 22)
    """

    kind: str
    sizes: tuple[int, ...]

    def __post_init__(self):
        if self.kind not in PUZZLE_SIZES:
            raise MdnnError(f"unknown puzzle {self.kind!r}; known: {KNOWN}")
        count, known = PUZZLE_SIZES[self.kind]
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
        """Sizes of the grid, a tuple of ints."""
        # Addition: three lines (two numbers and their sum); a sign and a carry before the digits.
        return (3, self.sizes[0] + 2) if self.kind == "addition" else self.sizes

    @property
    def positions(self):
        """Number of the grid's positions."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, name):
        """Parses a puzzle name such as `maze-9x9`.

        Returns:
            A `PuzzleName`, or `None` if the string does not have the form of a puzzle name.

        Raises:
            MdnnError: the size is not allowed for the kind.
        """
        match = _NAME.fullmatch(name)
        return match and cls(match[1], tuple(map(int, match[2].split("x"))))


def puzzle_source(source):
    """Parses a puzzle source into a puzzle name and a file path.

    Args:
        source: str: a puzzle (`"maze-9x9"`), a puzzle and a file of such puzzles
            (`"maze-9x9:mazes.csv"`), or a file of sudokus (`"sudokus.csv"`).

    Returns:
        `(name, path)`: a `PuzzleName` or `None`, and a string or `None`. Both are `None` if the
        source does not describe puzzles.

    Raises:
        MdnnError: a puzzle's size is missing or not allowed.
    """
    task, colon, path = source.partition(":")
    if colon and path and _NAME.fullmatch(task):
        return PuzzleName.of(task), path
    if colon and task in PUZZLE_SIZES:
        raise MdnnError(f"expected a puzzle with its size, as {KNOWN}; received {source!r}")
    if source.lower().endswith(TABLES):
        return None, source
    return PuzzleName.of(source), None


def to_tokens(symbols, shape):
    """Converts puzzles to tokens.

    Args:
        symbols: ints `[..., positions]`, indices of symbols in the puzzle's alphabet.
        shape: tuple of ints, sizes of the grid.

    Returns:
        int32 `[..., positions, 8]`; coordinates are (row, column), with row 0 in a grid of one
        axis.
    """
    symbols = np.asarray(symbols)
    rows = np.zeros((*symbols.shape, table.NUM_FEATURES), dtype=np.int32)
    rows[..., table.MODALITY] = _SYMBOL.index
    rows[..., table.BYTES.start] = symbols
    columns = shape[-1]
    position = np.arange(symbols.shape[-1])
    rows[..., table.COORDINATES.start] = position // columns
    rows[..., table.COORDINATES.start + 1] = position % columns
    return rows


def to_symbols(tokens):
    """Converts tokens to puzzles: the inverse of `to_tokens`.

    Args:
        tokens: ints `[..., positions, 8]`.

    Returns:
        uint8 `[..., positions]`, indices of symbols in the puzzle's alphabet.

    Raises:
        MdnnError: a token is not of the modality `symbol`.
    """
    tokens = np.asarray(tokens)
    strange = tokens[..., table.MODALITY] != _SYMBOL.index
    if strange.any():
        kind = tokens[..., table.MODALITY][strange].flat[0]
        raise MdnnError(f"expected tokens of the modality symbol; received modality {kind}")
    return tokens[..., table.BYTES.start].astype(np.uint8)
