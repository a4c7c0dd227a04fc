"""Cases to train on and cases that are held out: no puzzle is on both sides."""

import numpy as np

from mdnn.data.bits import CASES, raw_bits
from mdnn.errors import MdnnError

# Cases that are drawn together, at most, and slots of all of them, about.
CHUNK, CHUNK_SLOTS = 1024, 2**19

# How often cases are drawn for a chunk.
ROUNDS = 64


def held_out(task, puzzles, share):
    """Returns which puzzles are held out, boolean `[n]`: by their hash alone.

    So the two sides are the same whatever the seed, and no draw of a training run can meet a held
    out puzzle, nor an image of one where the task has images.

    Args:
        task: `mdnn.data.puzzles.task.Task`.
        puzzles: uint8 `[n, slots]`.
        share: Float from 0 to 1.
    """
    return (task.hashes(puzzles) >> np.uint64(11)) * 2.0**-53 < share


class DrawnCases:
    """Cases of a task from a seed, as many as are wanted.

    They are drawn in chunks, each a pure function of the seed and its number; of a task with
    images each case of a chunk is used `task.reuse` times, each time another image.

    Args:
        task: `mdnn.data.puzzles.task.Task`.
        seed: Integer.
        share: Float, the share of all puzzles that is held out.
        held: Boolean; whether the held out ones are drawn, and not the others.
    """

    def __init__(self, task, seed, share, held=False):
        self.task, self.seed, self.share, self.held = task, int(seed), share, held
        self.chunk = max(16, min(CHUNK, CHUNK_SLOTS // task.slots))
        # The last chunks by their numbers: steps come in their order.
        self._kept = {}

    def at(self, step, number):
        """Returns the cases of a step.

        Args:
            step: Integer from 0.
            number: Integer, cases of each step.

        Returns:
            Puzzles and solutions, uint8 `[number, slots]`.
        """
        place = step * number + np.arange(number)
        chunks = place // (self.chunk * self.task.reuse)
        puzzles = np.zeros((number, self.task.slots), dtype=np.uint8)
        solutions = np.zeros_like(puzzles)
        for chunk in np.unique(chunks).tolist():
            own = chunks == chunk
            puzzles[own], solutions[own] = (
                cases[place[own] % self.chunk] for cases in self.drawn(chunk)
            )
        return self.task.images(puzzles, solutions, self.seed, step)

    def drawn(self, number):
        """Returns the cases of a chunk, as drawn.

        Raises:
            MdnnError: If there are none or hardly any.
        """
        if number not in self._kept:
            while len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)))
            self._kept[number] = self._draw(number)
        return self._kept[number]

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
            drawn = self.task.images(*self.drawn(number), self.seed, number)
            for puzzle, solution in zip(*drawn, strict=True):
                if len(seen) < most and (key := puzzle.tobytes()) not in seen:
                    seen.add(key)
                    puzzles.append(puzzle)
                    solutions.append(solution)
            number += 1
            idle = idle + 1 if len(seen) == before else 0
        return np.array(puzzles), np.array(solutions)


class ReadCases:
    """Cases of a file, drawn at random.

    Args:
        task: `mdnn.data.puzzles.task.Task`.
        puzzles, solutions: uint8 `[n, slots]`.
        seed: Integer.
    """

    def __init__(self, task, puzzles, solutions, seed):
        self.task, self.puzzles, self.solutions, self.seed = task, puzzles, solutions, int(seed)

    def at(self, step, number):
        """Returns the cases of a step, random images of random ones; as of `DrawnCases`."""
        index = raw_bits(self.seed, step, number, CASES) % np.uint64(len(self.puzzles))
        drawn = self.puzzles[index.astype(np.int64)], self.solutions[index.astype(np.int64)]
        return self.task.images(*drawn, self.seed, step)

    def different(self, most):
        """Returns at most so many of the cases, from all over the file."""
        count = len(self.puzzles)
        number = min(most, count)
        index = np.arange(number) * count // max(1, number)
        return self.puzzles[index], self.solutions[index]
