"""Defines `Sudoku`: sudokus with a unique solution and a given number of givens."""

import numpy as np

from mdnn.datasets.puzzles.puzzle import Puzzle, mixed
from mdnn.datasets.puzzles.sudoku_solver import (
    GUESSES,
    count_solutions,
    dig,
    fill,
    to_digits,
    to_masks,
)
from mdnn.datasets.puzzles.sudoku_solver import units_of as sudoku_units
from mdnn.datasets.random_bits import CASES, raw_stream
from mdnn.errors import MdnnError

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box, by the sudoku's size."""

GIVENS = {4: (4, 8), 6: (10, 18), 9: (30, 36)}
"""Default minimum and maximum number of givens, by the sudoku's size."""

LEAST = {4: 4, 6: 8, 9: 17}
"""Smallest number of givens with a unique solution (9x9: McGuire and others, 2012), by size."""

# Number of attempts to reach the requested split by restoring another given.
TRIES = 64


class Sudoku(Puzzle):
    """Generates sudokus of one size.

    Digits are removed from a random solved grid in random order as long as the solution stays
    unique, until one given fewer than drawn from the range is left; then a random digit is
    restored. Training uses random symmetric images of these puzzles: digits are relabelled, rows
    permuted within bands, bands permuted, the same for columns and stacks, and grids with square
    boxes transposed. `hashes` is invariant under these symmetries, so no image of a held-out
    puzzle is trained on.

    Args:
        size: int: 4, 6 (boxes of 2 rows and 3 columns) or 9.
        givens: Minimum and maximum number of givens; empty for the size's default.

    Raises:
        MdnnError: the size or range is invalid.
    """

    reuse = 8

    def __init__(self, size, givens=()):
        super().__init__("sudoku", (size, size), ".123456789"[: size + 1])
        self.size, self.box = size, BOXES[size]
        self.givens = tuple(givens) or GIVENS[size]
        low, high = self.givens if len(self.givens) == 2 else (0, 0)
        if not LEAST[size] <= low <= high < self.positions:
            raise MdnnError(
                f"givens of a {self.name}: expected the fewest and the most, from {LEAST[size]} to "
                f"{self.positions - 1}; received {list(self.givens)}"
            )

    def draw(self, seed, number, count, wanted):
        words = raw_stream(seed, number, CASES)
        grids = fill(count, self.box, words)
        low, high = self.givens
        target = low + (words(count) % np.uint64(high - low + 1)).astype(np.int64)
        order = np.argsort(words(self.positions * count).reshape(-1, count), axis=0, kind="stable")
        given = dig(grids, target - 1, order, self.box).T
        solutions = to_digits(grids)
        puzzles = np.where(given, solutions, 0).astype(np.uint8)
        left = np.flatnonzero(given.sum(axis=1) < high)
        accepted = np.zeros(count, dtype=bool)
        for _ in range(TRIES):
            if not left.size:
                break
            keys = words(left.size * self.positions).reshape(left.size, -1)
            back = np.where(given[left], np.uint64(0), keys).argmax(axis=1)
            tried = puzzles[left]
            tried[np.arange(left.size), back] = solutions[left, back]
            right = wanted(tried)
            puzzles[left[right]] = tried[right]
            accepted[left[right]] = True
            left = left[~right]
        return puzzles[accepted], solutions[accepted]

    def hashes(self, puzzles):
        """Returns a hash of each puzzle, uint64 `[n]`, invariant under all symmetries.

        Computed by color refinement: in each round a cell's color is updated from the colors in
        its row, column, box and of its digit, independent of digit labels and row order; the hash
        is the sum of the colors. Different puzzles with equal hashes are in the same split.
        """
        size, (height, width) = self.size, self.box
        digits = np.asarray(puzzles).reshape(-1, size, size)
        square = height == width
        colours = mixed(np.where(digits > 0, np.uint64(1), np.uint64(2)))
        for _ in range(4):
            rows, columns = mixed(colours.sum(axis=2)), mixed(colours.sum(axis=1))
            boxes = colours.reshape(-1, width, height, height, width).sum(axis=(2, 4))
            bands = mixed(rows.reshape(-1, width, height).sum(axis=2) + np.uint64(3))
            stacks = mixed(columns.reshape(-1, height, width).sum(axis=2) + np.uint64(3))
            across = mixed(rows + np.repeat(bands, height, axis=1))
            down = mixed(columns + np.repeat(stacks, width, axis=1))
            # Rows and columns are equivalent only if the sudoku can be transposed.
            down = down if square else mixed(down + np.uint64(5))
            named = np.zeros_like(colours)
            for digit in range(1, size + 1):
                is_digit = digits == digit
                total = np.where(is_digit, colours, 0).sum(axis=(1, 2), dtype=np.uint64)
                named += np.where(is_digit, mixed(total + np.uint64(7))[:, None, None], 0)
            boxes = np.repeat(np.repeat(mixed(boxes), height, axis=1), width, axis=2)
            colours = mixed(
                colours * np.uint64(3) + across[:, :, None] + down[:, None, :] + boxes + named
            )
        return mixed(colours.sum(axis=(1, 2), dtype=np.uint64))

    @property
    def image_words(self):
        return 3 * self.size + sum(self.box) + 1

    def images(self, puzzles, solutions, words):
        size, (height, width) = self.size, self.box
        number = len(puzzles)
        parts = np.split(words, np.cumsum([size, size, size, width, height]), axis=1)
        renamed, rows, columns, bands, stacks, turned = parts
        names = np.zeros((number, size + 1), dtype=np.uint8)
        names[:, 1:] = 1 + np.argsort(renamed, axis=1, kind="stable")
        rows = _exchanged(rows, bands, height)
        columns = _exchanged(columns, stacks, width)
        cells = rows[:, :, None] * size + columns[:, None, :]
        if height == width:
            flip = (turned[:, 0] & np.uint64(1)).astype(bool)
            cells = np.where(flip[:, None, None], cells.swapaxes(1, 2), cells)
        cells = cells.reshape(number, -1)
        return tuple(
            np.take_along_axis(names, np.take_along_axis(grid, cells, axis=1), axis=1)
            for grid in (puzzles, solutions)
        )

    def solve(self, puzzles):
        errors = {}
        masks = to_masks(puzzles, self.size)
        counts, masks = count_solutions(masks, self.box, guesses=GUESSES)
        faults = (
            (counts < 0, f"not solved within {GUESSES:,} guesses"),
            (counts == 0, "no solution"),
            (counts > 1, "more than one solution"),
        )
        for faulty, what in faults:
            errors |= dict.fromkeys(np.flatnonzero(faulty).tolist(), what)
        return errors | self._contradictions(puzzles), to_digits(masks)

    def wrong(self, puzzles, solutions):
        errors = {n: f"no solution: {what}" for n, what in self._contradictions(solutions).items()}
        for number in np.flatnonzero((solutions == 0).any(axis=1)):
            position = (solutions[number] == 0).argmax()
            errors[int(number)] = f"the solution leaves {self.position_name(position)} empty"
        return errors | super().wrong(puzzles, solutions) | self._contradictions(puzzles)

    def ambiguous(self, puzzles):
        """Returns a mask of the puzzles with several solutions found, boolean `[n]`."""
        masks = to_masks(puzzles, self.size)
        return count_solutions(masks, self.box, guesses=GUESSES)[0] > 1

    def _contradictions(self, puzzles):
        """Returns errors for puzzles with a repeated digit in a row, column or box, a dict."""
        units, _ = sudoku_units(*self.box)
        inside = np.sort(np.asarray(puzzles)[:, units], axis=2)
        twice = (inside[..., 1:] == inside[..., :-1]) & (inside[..., 1:] > 0)
        errors = {}
        for number in np.flatnonzero(twice.any(axis=(1, 2))):
            unit, cell = np.argwhere(twice[number])[0]
            kind = ("row", "column", "box")[unit // self.size]
            digit = self.alphabet[inside[number, unit, cell]]
            errors[int(number)] = f"the digit {digit} is twice in {kind} {unit % self.size + 1}"
        return errors


def _exchanged(inner, outer, height):
    """Draws permutations of lines that keep bands of `height` together, int `[n, lines]`."""
    number, bands = outer.shape
    within = np.argsort(inner.reshape(number, bands, height), axis=2, kind="stable")
    order = np.argsort(outer, axis=1, kind="stable")
    lines = order[:, :, None] * height + np.take_along_axis(within, order[:, :, None], axis=1)
    return lines.reshape(number, -1)
