"""Training batches of puzzles as a pure function of (seed, step), and the cases held out."""

import numpy as np

from mdnn.datasets.batches.objectives import normalised
from mdnn.datasets.batches.text_batches import StepBatches
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import to_tokens


class PuzzleBatches(StepBatches):
    """Puzzles and, in the same positions, their solutions.

    Position s answers its own symbol, not the next one's: what is asked for lies all over the grid.

    Args:
        cases: `mdnn.datasets.puzzles.cases.DrawnCases` or `ReadCases`.
        batch: Integer, puzzles in a batch.
        given_weight: Float, what a position that is given counts; one that is asked for counts 1.
            With 0 it is no target.
        steps: Integer, batches of an epoch.
        first_step: Integer, the step of the first epoch's first batch.
        repeat: Boolean; `True` gives every epoch the same batches.
        **kwargs: Passed on to `keras.utils.PyDataset`.

    Raises:
        MdnnError: If an argument is out of its range.

    Example:

    >>> corpus = open_puzzles("sudoku-6x6", seed=1)
    >>> PuzzleBatches(corpus.train, batch=64).at(1000)["tokens"].shape
    (64, 36, 8)
    """

    def __init__(
        self, cases, batch, given_weight=1.0, steps=1000, first_step=0, repeat=False, **kwargs
    ):
        for name, value in (("batch", batch), ("steps", steps)):
            if value < 1:
                raise MdnnError(f"{name} must be at least 1; received {value}")
        if not given_weight >= 0:
            raise MdnnError(f"given_weight must be at least 0; received {given_weight}")
        super().__init__(steps, first_step, repeat, **kwargs)
        self.cases, self.batch, self.given_weight = cases, int(batch), float(given_weight)

    def objective(self, step):
        """Returns `"parallel"`: all positions are answered together."""
        return "parallel"

    def at(self, step):
        """Returns the batch of a step.

        Args:
            step: Integer from 0.

        Returns:
            A dictionary: `"tokens"`, int32 `[batch, positions, 8]`, the puzzles; `"targets"`, the
            same, the solutions, zeros where nothing is to be answered; and `"weights"`, float32
            `[batch, positions]`, whose mean over the targets is 1.
        """
        return puzzle_batch(self.cases.task, *self.cases.at(step, self.batch), self.given_weight)


def puzzle_batch(task, puzzles, solutions, given_weight=1.0):
    """Returns cases as a batch, as `PuzzleBatches.at` does.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        puzzles, solutions: uint8 `[n, positions]`.
        given_weight: As of `PuzzleBatches`.
    """
    weights = np.where(task.asked(puzzles), 1.0, given_weight)
    targets = to_tokens(solutions, task.shape) * (weights > 0)[..., None]
    return {
        "tokens": to_tokens(puzzles, task.shape),
        "targets": np.ascontiguousarray(targets),
        "weights": normalised(weights, targets),
    }


def exact(task, puzzles, solutions, answers):
    """Returns which answers are exact: boolean `[n]`, all positions that are asked for are right.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        puzzles, solutions, answers: uint8 `[n, positions]`.
    """
    return ((answers == solutions) | ~task.asked(puzzles)).all(axis=1)
