"""Defines `PrefixSums`: the parity of the bits up to each position."""

import numpy as np

from mdnn.datasets.puzzles.puzzle import Puzzle
from mdnn.datasets.random_bits import CASES, raw_bits


class PrefixSums(Puzzle):
    """Generates random bits with the parities of their prefixes (Schwarzschild and others, 2021).

    Args:
        length: int, number of bits.

    Example:

    >>> task = PrefixSums(8)
    >>> task.text(task.answers(task.symbols("01101000")[None])[0])
    '01001111'
    """

    def __init__(self, length):
        super().__init__("prefix-sums", (length,), "01")

    def draw_some(self, seed, number, count):
        words = raw_bits(seed, number, (count, -(-self.positions // 64)), CASES)
        puzzles = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1)[:, : self.positions]
        return puzzles, self.answers(puzzles)

    @staticmethod
    def answers(puzzles):
        """Computes the parities of the prefixes of bits `[n, length]`."""
        return (np.cumsum(puzzles, axis=1, dtype=np.int64) % 2).astype(np.uint8)

    def unknown_mask(self, puzzles):
        return np.ones(np.shape(puzzles), dtype=bool)

    def solve(self, puzzles):
        return {}, self.answers(puzzles)

    def wrong(self, puzzles, solutions):
        differ = solutions != self.answers(puzzles)
        return {
            int(number): f"the parity at {self.position_name(differ[number].argmax())} is wrong"
            for number in np.flatnonzero(differ.any(axis=1))
        }
