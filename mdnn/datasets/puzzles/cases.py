"""Cases to train on and cases that are held out: no puzzle is on both sides."""

import numpy as np

from mdnn.datasets.random_bits import IMAGES, raw_bits
from mdnn.errors import MdnnError

# Cases that are drawn together, at most, and positions of all of them, about.
CHUNK, CHUNK_SLOTS = 1024, 2**19

# How often cases are drawn for a chunk.
ROUNDS = 64

# Cases whose random words are drawn together.
BLOCK = 64


def held_out(task, puzzles, share):
    """Returns which puzzles are held out, boolean `[n]`: by their hash alone.

    So the two sides are the same whatever the seed, and no draw of a training run can meet a held
    out puzzle, nor an image of one where the task has images.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        puzzles: uint8 `[n, positions]`.
        share: Float from 0 to 1.
    """
    held = np.empty(len(puzzles), dtype=bool)
    # in pieces: hashes take many times the memory of the puzzles
    for start in range(0, len(puzzles), CHUNK):
        hashes = task.hashes(puzzles[start : start + CHUNK])
        held[start : start + CHUNK] = (hashes >> np.uint64(11)) * 2.0**-53 < share
    return held


class Cases:
    """Cases in an endless row; case number k is a pure function of the seed and k.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        seed: Integer.
    """

    def __init__(self, task, seed):
        self.task, self.seed = task, int(seed)

    def at(self, step, number):
        """Returns the cases of a step, those that follow the ones of the step before.

        Args:
            step: Integer from 0.
            number: Integer, cases of each step.

        Returns:
            Puzzles and solutions, uint8 `[number, positions]`.
        """
        return self.take(step * number + np.arange(number))

    def take(self, numbers):
        """Returns the cases of these numbers, integers `[n]` from 0."""
        words = self._words(numbers)
        cases = self._before_images(numbers, words[:, 0])
        return self.task.images(*cases, words[:, 1:])

    def _words(self, numbers):
        """Random words of each case, uint64 `[n, 1 + image_words]`."""
        words = np.empty((len(numbers), 1 + self.task.image_words), dtype=np.uint64)
        blocks = numbers // BLOCK
        for block in np.unique(blocks).tolist():
            own = blocks == block
            drawn = raw_bits(self.seed, block, (BLOCK, words.shape[1]), IMAGES)
            words[own] = drawn[numbers[own] % BLOCK]
        return words


class DrawnCases(Cases):
    """Cases that are drawn from the seed.

    They are drawn in chunks; of a task with images each case of a chunk is used `task.reuse`
    times, each time as another image.

    Args:
        task, seed: As of `Cases`.
        share: Float, the share of all puzzles that is held out.
        held: Boolean; whether the held out ones are drawn, and not the others.
    """

    def __init__(self, task, seed, share, held=False):
        super().__init__(task, seed)
        self.share, self.held = share, held
        self.chunk = max(16, min(CHUNK, CHUNK_SLOTS // task.positions))
        # The last chunks by their numbers: steps come in their order.
        self._kept = {}

    def _before_images(self, numbers, words):
        chunks = numbers // (self.chunk * self.task.reuse)
        puzzles = np.empty((len(numbers), self.task.positions), dtype=np.uint8)
        solutions = np.empty_like(puzzles)
        for chunk in np.unique(chunks).tolist():
            own = chunks == chunk
            puzzles[own], solutions[own] = (
                cases[numbers[own] % self.chunk] for cases in self.drawn(chunk)
            )
        return puzzles, solutions

    def drawn(self, number):
        """Returns the cases of a chunk, as drawn.

        Raises:
            MdnnError: If there are none or hardly any.
        """
        found = self._kept.get(number)
        if found is None:
            found = self._draw(number)
            # Other threads may draw, too: what is returned does not depend on what is kept.
            while len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[number] = found
        return found

    def _draw(self, number):
        found, count = [], 0
        for again in range(ROUNDS):
            own = self.task.draw(self.seed, number * ROUNDS + again, self.chunk, self._wanted)
            found.append(own)
            count += len(own[0])
            if count >= self.chunk:
                break
            if again >= 3 and count <= again:
                what = "held out" if self.held else "to train on"
                raise MdnnError(
                    f"{self.task.name}: {count} of {(again + 1) * self.chunk} draws gave a puzzle "
                    f"{what}: too few givens, too small a size, or data.validation = {self.share}"
                )
        # Of a small task the same cases come again.
        puzzles, solutions = (np.concatenate(part) for part in zip(*found, strict=True))
        index = np.arange(self.chunk) % count
        return puzzles[index], solutions[index]

    def _wanted(self, puzzles):
        return held_out(self.task, puzzles, self.share) == self.held

    def different(self, most):
        """Returns so many cases whose puzzles all differ, the same ones each time; or fewer, where
        a task is so small that no more turn up."""
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
    """Cases of a file, each a random one.

    Args:
        task, seed: As of `Cases`.
        puzzles, solutions: uint8 `[n, positions]`.
    """

    def __init__(self, task, puzzles, solutions, seed):
        super().__init__(task, seed)
        self.puzzles, self.solutions = puzzles, solutions

    def _before_images(self, numbers, words):
        index = (words % np.uint64(len(self.puzzles))).astype(np.int64)
        return self.puzzles[index], self.solutions[index]

    def different(self, most):
        """Returns at most so many of the cases, from all over the file."""
        count = len(self.puzzles)
        number = min(most, count)
        index = np.arange(number) * count // max(1, number)
        return self.puzzles[index], self.solutions[index]
