"""Defines `Addition`: the sum of two long numbers, written in three lines of text."""

import numpy as np

from mdnn.datasets.puzzles.puzzle import Puzzle
from mdnn.datasets.random_bits import CASES, raw_bits

# Columns besides the digits: the sign and the carry.
EXTRA = 2


class Addition(Puzzle):
    """Generates additions of two numbers of at most `digits` digits.

    The text has three lines of `digits + 2` characters with right-aligned numbers:

        " 907"
        "+ 95"
        "=???"   (solution: "=1002" if the line is long enough)

    The third line, without its sign, is to be predicted. The number of digits is uniform from 1 to
    `digits`; the first digit is not 0 except in the number 0.

    Args:
        digits: int, the maximum number of digits.
    """

    def __init__(self, digits):
        super().__init__("addition", (digits,), "? 0123456789+=")
        self.digits = digits

    def draw_some(self, seed, number, count):
        words = raw_bits(seed, number, (count, 2, self.digits + 1), CASES)
        lengths = 1 + (words[..., 0] % np.uint64(self.digits)).astype(np.int64)
        values = (words[..., 1:] % np.uint64(10)).astype(np.int64)
        # Digits are ordered from the lowest. A number of one digit may be 0.
        index = np.arange(self.digits)
        first = index == lengths[..., None] - 1
        leading = 1 + (words[..., 1:] // np.uint64(10) % np.uint64(9)).astype(np.int64)
        values = np.where(first & (lengths[..., None] > 1), leading, values)
        values *= index < lengths[..., None]
        lines = np.stack([self._line(values[:, k], "? +"[k + 1]) for k in range(2)], axis=1)
        asked = np.zeros((count, 1, self.shape[1]), dtype=np.uint8)
        asked[..., 0] = self.alphabet.index("=")
        puzzles = np.concatenate([lines, asked], axis=1).reshape(count, -1)
        return puzzles, self._answered(puzzles, values)

    def _line(self, values, sign):
        """Formats numbers `[n, digits]`, lowest digit first, as lines `[n, columns]`."""
        filled = np.zeros((len(values), self.shape[1]), dtype=np.uint8)
        columns = values.shape[1]
        above = np.flip(np.cumsum(np.flip(values, axis=1), axis=1), axis=1) > 0
        above[:, 0] = True
        written = np.where(above, values + self.alphabet.index("0"), self.alphabet.index(" "))
        filled[:] = self.alphabet.index(" ")
        filled[:, self.shape[1] - columns :] = np.flip(written, axis=1)
        filled[:, 0] = self.alphabet.index(sign)
        return filled

    def _answered(self, puzzles, values):
        """Fills puzzles with the sums of numbers `[n, 2, digits]`, lowest digit first."""
        sums = np.zeros((len(values), self.digits + 1), dtype=np.int64)
        sums[:, :-1] = values.sum(axis=1)
        for column in range(self.digits):
            sums[:, column + 1] += sums[:, column] // 10
            sums[:, column] %= 10
        solutions = puzzles.reshape(len(puzzles), *self.shape).copy()
        solutions[:, 2] = self._line(sums, "=")
        return solutions.reshape(puzzles.shape)

    def solve(self, puzzles):
        values = self._values(puzzles)
        lines = [self._line(values[:, k], "? +"[k + 1]) for k in range(2)]
        again = np.stack([*lines, np.zeros_like(lines[0])], axis=1)
        again[:, 2, 0] = self.alphabet.index("=")
        differ = again.reshape(puzzles.shape) != puzzles
        errors = {
            int(number): "expected two numbers and an empty third line: "
            f"{self.position_name(differ[number].argmax())}"
            for number in np.flatnonzero(differ.any(axis=1))
        }
        return errors, self._answered(puzzles, values)

    def wrong(self, puzzles, solutions):
        errors, answers = self.solve(puzzles)
        differ = solutions != answers
        wrong = {
            int(number): f"the sum is wrong at {self.position_name(differ[number].argmax())}"
            for number in np.flatnonzero(differ.any(axis=1))
        }
        return wrong | errors

    def _values(self, puzzles):
        """Parses the two numbers of each puzzle, `[n, 2, digits]`, lowest digit first."""
        digits = puzzles.reshape(len(puzzles), *self.shape)[:, :2, EXTRA:].astype(np.int64)
        digits = digits - self.alphabet.index("0")
        return np.flip(np.where((digits >= 0) & (digits <= 9), digits, 0), axis=2)
