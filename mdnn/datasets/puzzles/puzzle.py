"""Defines `Puzzle`, the base class of puzzles on a grid of symbols."""

import functools

import numpy as np

from mdnn.datasets.random_bits import HASHES, raw_bits
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import SYMBOLS, PuzzleName


class Puzzle:
    """Describes one kind of puzzle of one size; subclasses define `draw` or `draw_some`.

    Cases are pairs of uint8 arrays `[n, positions]`, puzzles and solutions: the index of each
    position's symbol in the alphabet, in row-major order.

    Args:
        kind: str, such as `"maze"`.
        sizes: tuple of ints, such as `(9, 9)`, which determine the shape of the grid (see
            `mdnn.tokens.symbols.PuzzleName`).
        alphabet: str, the symbols of puzzles and solutions; the first one marks positions to
            predict, if the puzzle has such a symbol.

    Attributes:
        name: str, such as `"maze-9x9"`.
        shape: tuple of ints, the grid.
        positions: int, number of positions.
        reuse: int, number of symmetric images of a case to train on; 1 without symmetries.
        image_words: int, number of random words per image.
    """

    reuse, image_words = 1, 0

    def __init__(self, kind, sizes, alphabet):
        named = PuzzleName(kind, tuple(sizes))
        self.name, self.shape, self.positions = str(named), named.shape, named.positions
        self.alphabet = alphabet

    def draw_some(self, seed, number, count):
        """Draws cases, a pure function of its arguments.

        Args:
            seed: int.
            number: int from 0, the index of the draw.
            count: int, number of attempts.

        Returns:
            Puzzles and solutions, at most `count`.
        """
        return self.draw(seed, number, count, lambda puzzles: np.ones(len(puzzles), dtype=bool))

    def draw(self, seed, number, count, wanted):
        """Draws cases whose puzzles satisfy `wanted`; otherwise as `draw_some`.

        Args:
            wanted: function from puzzles to a boolean array `[n]`.
        """
        puzzles, solutions = self.draw_some(seed, number, count)
        selected = wanted(puzzles)
        return puzzles[selected], solutions[selected]

    def hashes(self, puzzles):
        """Returns the hash of each puzzle, uint64 `[n]`, which selects the validation split.

        All symmetric images of a puzzle have the same hash.
        """
        table = _hash_table(self.positions)
        return mixed(table[np.arange(self.positions), puzzles].sum(axis=1, dtype=np.uint64))

    def images(self, puzzles, solutions, words):
        """Applies a random symmetry of the task to each case.

        Args:
            puzzles, solutions: uint8 `[n, positions]`.
            words: uint64 `[n, image_words]`, random bits.

        Returns:
            Puzzles and solutions, uint8 `[n, positions]`.
        """
        return puzzles, solutions

    def unknown_mask(self, puzzles):
        """Returns a mask of the positions to predict, boolean `[n, positions]`."""
        return np.asarray(puzzles) == 0

    def solve(self, puzzles):
        """Solves puzzles.

        Returns:
            `(errors, solutions)`: a dictionary from the indices of invalid puzzles to error
            messages, and uint8 `[n, positions]`, the solutions of the valid ones.
        """
        raise MdnnError(f"{self.name}: expected puzzles with their solutions")

    def wrong(self, puzzles, solutions):
        """Checks cases and returns a dictionary from the indices of wrong ones to error messages.

        The base class checks that solutions keep the given symbols; subclasses check more.
        """
        differ = (puzzles != solutions) & ~self.unknown_mask(puzzles)
        return {
            int(
                number
            ): f"the solution changes the given {self.position_name(differ[number].argmax())}"
            for number in np.flatnonzero(differ.any(axis=1))
        }

    def ambiguous(self, puzzles):
        """Returns a mask of the puzzles with more than one solution, boolean `[n]`."""
        return np.zeros(len(puzzles), dtype=bool)

    def position_name(self, position):
        """Formats a position for error messages, such as `row 1, column 2`."""
        if len(self.shape) == 1:
            return f"position {position + 1}"
        row, column = divmod(int(position), self.shape[1])
        return f"row {row + 1}, column {column + 1}"

    def symbols(self, text):
        """Converts a string of symbols to their indices, uint8 `[positions]`.

        Raises:
            MdnnError: the number of symbols is not that of the positions, or a symbol is not in
                the alphabet.
        """
        if len(text) != self.positions:
            raise MdnnError(
                f"expected {self.positions} symbols of a {self.name}; received {len(text)}"
            )
        symbols = [self.alphabet.find(symbol) for symbol in text]
        if -1 in symbols:
            position = symbols.index(-1)
            raise MdnnError(
                f"expected symbols out of {self.alphabet!r}; received {text[position]!r} at symbol "
                f"{position + 1}"
            )
        return np.array(symbols, dtype=np.uint8)

    def text(self, symbols):
        """Converts symbol indices to a string: the inverse of `symbols`."""
        return "".join(self.alphabet[index] for index in np.asarray(symbols).tolist())


def mixed(numbers):
    """Hashes numbers with the final steps of SplitMix64, uint64 of the same shape."""
    numbers = np.asarray(numbers, dtype=np.uint64)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


@functools.cache
def _hash_table(positions):
    return raw_bits(0, 0, (positions, SYMBOLS), HASHES)
