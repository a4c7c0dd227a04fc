"""What a puzzle is: a grid of small symbols, and the same grid with the answer in place."""

import functools

import numpy as np

from mdnn.datasets.random_bits import HASHES, raw_bits
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import SYMBOLS, PuzzleName


class Puzzle:
    """One kind of puzzle of one size; a subclass has `draw` or `draw_some`.

    Cases are pairs of uint8 arrays `[n, positions]`, puzzles and solutions: for each position, row
    by row, the place of its symbol in the alphabet.

    Args:
        kind: String, such as `"maze"`.
        sizes: Tuple of integers, its sizes, such as `(9, 9)`; the shape of the grid follows from
            them (see `mdnn.tokens.symbols.PuzzleName`).
        alphabet: String, the symbols of puzzles and solutions; the first one is the one that is
            asked for, where a puzzle has such positions.

    Attributes:
        name: String, such as `"maze-9x9"`.
        shape: Tuple of integers, the grid.
        positions: Integer, how many positions it has.
        reuse: How many images of a case are trained on; 1 where a case has no images.
        image_words: How many random words an image takes.
    """

    reuse, image_words = 1, 0

    def __init__(self, kind, sizes, alphabet):
        named = PuzzleName(kind, tuple(sizes))
        self.name, self.shape, self.positions = str(named), named.shape, named.positions
        self.alphabet = alphabet

    def draw_some(self, seed, number, count):
        """Draws cases, a pure function of its arguments.

        Args:
            seed: Integer.
            number: Integer from 0; other numbers, other cases.
            count: Integer, how many are tried.

        Returns:
            Puzzles and solutions, at most `count`.
        """
        return self.draw(seed, number, count, lambda puzzles: np.ones(len(puzzles), dtype=bool))

    def draw(self, seed, number, count, wanted):
        """Draws cases whose puzzles are wanted; otherwise as `draw_some`.

        Args:
            wanted: Function from puzzles to a boolean array `[n]`.
        """
        puzzles, solutions = self.draw_some(seed, number, count)
        kept = wanted(puzzles)
        return puzzles[kept], solutions[kept]

    def hashes(self, puzzles):
        """Returns a number for each puzzle, uint64 `[n]`, that decides whether it is held out.

        Equal puzzles have equal numbers, and so have all images of a puzzle.
        """
        table = _hash_table(self.positions)
        return mixed(table[np.arange(self.positions), puzzles].sum(axis=1, dtype=np.uint64))

    def images(self, puzzles, solutions, words):
        """Returns an image of each case: another case by a symmetry of the task.

        Args:
            puzzles, solutions: uint8 `[n, positions]`.
            words: uint64 `[n, image_words]`, random.
        """
        return puzzles, solutions

    def asked(self, puzzles):
        """Returns which positions are to be answered, boolean `[n, positions]`; the others are
        given."""
        return np.asarray(puzzles) == 0

    def solve(self, puzzles):
        """Returns what is wrong with puzzles, and the solutions of those that are right.

        Returns:
            Dictionary from numbers of puzzles to a plain sentence, and solutions uint8
            `[n, positions]`.
        """
        raise MdnnError(f"{self.name}: expected puzzles with their solutions")

    def wrong(self, puzzles, solutions):
        """Returns what is wrong with cases: a dictionary from their numbers to a sentence.

        A case is right where its solution has all that is given; subclasses look further.
        """
        differ = (puzzles != solutions) & ~self.asked(puzzles)
        return {
            int(number): f"the solution changes the given {self.place(differ[number].argmax())}"
            for number in np.flatnonzero(differ.any(axis=1))
        }

    def ambiguous(self, puzzles):
        """Returns which puzzles have more than one solution, boolean `[n]`."""
        return np.zeros(len(puzzles), dtype=bool)

    def place(self, position):
        """Returns where a position is, in words."""
        if len(self.shape) == 1:
            return f"position {position + 1}"
        row, column = divmod(int(position), self.shape[1])
        return f"row {row + 1}, column {column + 1}"

    def units(self, text):
        """Returns a puzzle's units, uint8 `[positions]`, for its symbols in a row.

        Raises:
            MdnnError: If there are more or fewer symbols than positions, or one is not in the
                alphabet.
        """
        if len(text) != self.positions:
            raise MdnnError(
                f"expected {self.positions} symbols of a {self.name}; received {len(text)}"
            )
        units = [self.alphabet.find(symbol) for symbol in text]
        if -1 in units:
            position = units.index(-1)
            raise MdnnError(
                f"expected symbols out of {self.alphabet!r}; received {text[position]!r} at symbol "
                f"{position + 1}"
            )
        return np.array(units, dtype=np.uint8)

    def text(self, units):
        """Returns the symbols of a puzzle in a row; the inverse of `units`."""
        return "".join(self.alphabet[unit] for unit in np.asarray(units).tolist())


def mixed(numbers):
    """Returns numbers with all bits mixed, uint64 of the same shape (SplitMix64's last steps)."""
    numbers = np.asarray(numbers, dtype=np.uint64)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


@functools.cache
def _hash_table(positions):
    return raw_bits(0, 0, (positions, SYMBOLS), HASHES)
