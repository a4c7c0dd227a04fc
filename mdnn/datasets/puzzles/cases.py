"""Draws training and validation cases (puzzles with solutions); no puzzle is in both splits."""

import numpy as np

from mdnn.datasets.random_bits import IMAGES, raw_bits, unit_floats
from mdnn.errors import MdnnError

# Maximum number of cases in a chunk, and the approximate number of positions of all its cases.
CHUNK, CHUNK_POSITIONS = 1024, 2**19

# Maximum number of draws per chunk.
ROUNDS = 64

# Number of cases that share a block of random words.
BLOCK = 64


def held_out(task, puzzles, share):
    """Selects the puzzles of the validation split by their hashes.

    The split does not depend on the seed. Training never draws a held-out puzzle or, if the task
    has symmetries, a symmetric image of one.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        puzzles: uint8 `[n, positions]`.
        share: float from 0 to 1, the share of held-out puzzles.

    Returns:
        bool `[n]`, `True` for held-out puzzles.
    """
    is_held_out = np.empty(len(puzzles), dtype=bool)
    # Hash in pieces: hashes take many times the memory of the puzzles.
    for start in range(0, len(puzzles), CHUNK):
        hashes = task.hashes(puzzles[start : start + CHUNK])
        is_held_out[start : start + CHUNK] = unit_floats(hashes) < share
    return is_held_out


class Cases:
    """Base of endless sequences of cases; case k is a pure function of the seed and k.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        seed: int.
    """

    def __init__(self, task, seed):
        self.task, self.seed = task, int(seed)

    def at(self, step, number):
        """Returns the cases of a step; steps use consecutive cases.

        Args:
            step: int from 0.
            number: int, cases per step.

        Returns:
            Puzzles and solutions, uint8 `[number, positions]`.
        """
        return self.take(step * number + np.arange(number))

    def take(self, numbers):
        """Returns the cases with the indices `numbers`, integers `[n]` from 0."""
        words = self._words(numbers)
        cases = self._before_images(numbers, words[:, 0])
        return self.task.images(*cases, words[:, 1:])

    def _words(self, numbers):
        """Draws the random words of each case, uint64 `[n, 1 + image_words]`."""
        words = np.empty((len(numbers), 1 + self.task.image_words), dtype=np.uint64)
        blocks = numbers // BLOCK
        for block in np.unique(blocks).tolist():
            in_block = blocks == block
            drawn = raw_bits(self.seed, block, (BLOCK, words.shape[1]), IMAGES)
            words[in_block] = drawn[numbers[in_block] % BLOCK]
        return words


class DrawnCases(Cases):
    """Generates cases from the seed.

    Cases are drawn in chunks. If the task has symmetries, each case of a chunk is used
    `task.reuse` times, each time as another symmetric image.

    Args:
        task, seed: As in `Cases`.
        share: float, the share of held-out puzzles.
        held: bool, `True` to draw held-out puzzles, `False` to draw training puzzles.
    """

    def __init__(self, task, seed, share, held=False):
        super().__init__(task, seed)
        self.share, self.held = share, held
        self.chunk = max(16, min(CHUNK, CHUNK_POSITIONS // task.positions))
        # Cache of the last chunks by index: steps are usually requested in order.
        self._chunks = {}

    def _before_images(self, numbers, words):
        chunks = numbers // (self.chunk * self.task.reuse)
        puzzles = np.empty((len(numbers), self.task.positions), dtype=np.uint8)
        solutions = np.empty_like(puzzles)
        for chunk in np.unique(chunks).tolist():
            in_chunk = chunks == chunk
            puzzles[in_chunk], solutions[in_chunk] = (
                cases[numbers[in_chunk] % self.chunk] for cases in self.drawn(chunk)
            )
        return puzzles, solutions

    def drawn(self, number):
        """Returns the cases of a chunk before images are applied.

        Raises:
            MdnnError: hardly any draw gives a puzzle of the split.
        """
        cases = self._chunks.get(number)
        if cases is None:
            cases = self._draw(number)
            # Other threads may draw at the same time; the result does not depend on the cache.
            while len(self._chunks) > 1:
                self._chunks.pop(next(iter(self._chunks)), None)
            self._chunks[number] = cases
        return cases

    def _draw(self, number):
        draws, count = [], 0
        for again in range(ROUNDS):
            cases = self.task.draw(self.seed, number * ROUNDS + again, self.chunk, self._wanted)
            draws.append(cases)
            count += len(cases[0])
            if count >= self.chunk:
                break
            if again >= 3 and count <= again:
                what = "held out" if self.held else "to train on"
                raise MdnnError(
                    f"{self.task.name}: {count} of {(again + 1) * self.chunk} draws gave a puzzle "
                    f"{what}: too few givens, too small a size, or data.validation = {self.share}"
                )
        # A small task repeats its cases.
        puzzles, solutions = (np.concatenate(arrays) for arrays in zip(*draws, strict=True))
        index = np.arange(self.chunk) % count
        return puzzles[index], solutions[index]

    def _wanted(self, puzzles):
        return held_out(self.task, puzzles, self.share) == self.held

    def different(self, most):
        """Returns up to `most` cases with distinct puzzles, the same ones at every call.

        Fewer are returned if the task is so small that no further puzzles appear.
        """
        seen, puzzles, solutions, number, idle = set(), [], [], 0, 0
        while len(seen) < most and idle < 4:
            before = len(seen)
            drawn = self.take(number * self.chunk * self.task.reuse + np.arange(self.chunk))
            for puzzle, solution in zip(*drawn, strict=True):
                if len(seen) < most and (key := puzzle.tobytes()) not in seen:
                    seen.add(key)
                    puzzles.append(puzzle)
                    solutions.append(solution)
            number += 1
            idle = idle + 1 if len(seen) == before else 0
        return np.array(puzzles), np.array(solutions)


class ReadCases(Cases):
    """Draws random cases of a file.

    Args:
        task, seed: As in `Cases`.
        puzzles, solutions: uint8 `[n, positions]`.
    """

    def __init__(self, task, puzzles, solutions, seed):
        super().__init__(task, seed)
        self.puzzles, self.solutions = puzzles, solutions

    def _before_images(self, numbers, words):
        index = (words % np.uint64(len(self.puzzles))).astype(np.int64)
        return self.puzzles[index], self.solutions[index]

    def different(self, most):
        """Returns up to `most` cases, spread evenly over the file."""
        count = len(self.puzzles)
        number = min(most, count)
        index = np.arange(number) * count // max(1, number)
        return self.puzzles[index], self.solutions[index]
