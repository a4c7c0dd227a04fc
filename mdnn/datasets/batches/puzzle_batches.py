"""Training batches of puzzles as a pure function of (seed, step), and the cases held out."""

import numpy as np

from mdnn.datasets.batches.objectives import normalised
from mdnn.datasets.batches.step_batches import StepBatches
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import to_tokens


class PuzzleBatches(StepBatches):
    """Builds batches of puzzles with their solutions as targets of the same positions.

    Position s predicts its own symbol, not that of position s + 1.

    Args:
        cases: `mdnn.datasets.puzzles.cases.DrawnCases` or `ReadCases`.
        batch_size: int, puzzles per batch.
        given_weight: float, loss weight of given positions (1 for positions to predict). With 0,
            given positions have no target.
        steps: int, batches per epoch.
        first_step: int, the step of the first epoch's first batch.
        repeat: bool; `True` repeats the same batches in every epoch.
        **kwargs: Arguments of `keras.utils.PyDataset`.

    Raises:
        MdnnError: an argument is out of range.

    Example:

    >>> splits = open_puzzles("sudoku-6x6", seed=1)
    >>> PuzzleBatches(splits.train, batch_size=64).at(1000)["tokens"].shape
    (64, 36, 8)
    """

    def __init__(
        self, cases, batch_size, given_weight=1.0, steps=1000, first_step=0, repeat=False, **kwargs
    ):
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if value < 1:
                raise MdnnError(f"{name} must be at least 1; received {value}")
        if not given_weight >= 0:
            raise MdnnError(f"given_weight must be at least 0; received {given_weight}")
        super().__init__(steps, first_step, repeat, **kwargs)
        self.cases, self.batch_size, self.given_weight = cases, int(batch_size), float(given_weight)

    def objective(self, step):
        """Returns `"parallel"`: all positions are predicted at once."""
        return "parallel"

    def at(self, step):
        """Returns the batch of a step.

        Args:
            step: int from 0.

        Returns:
            A dictionary: `"tokens"`, int32 `[batch, positions, 8]`, the puzzles; `"targets"`, of
            the same shape, the solutions, zeros at positions without a target; and `"weights"`,
            float32 `[batch, positions]`, with mean 1 over the targets.
        """
        return puzzle_batch(
            self.cases.task, *self.cases.at(step, self.batch_size), self.given_weight
        )


def puzzle_batch(task, puzzles, solutions, given_weight=1.0):
    """Converts cases to a batch like that of `PuzzleBatches.at`.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        puzzles, solutions: uint8 `[n, positions]`.
        given_weight: As in `PuzzleBatches`.
    """
    weights = np.where(task.unknown_mask(puzzles), 1.0, given_weight)
    targets = to_tokens(solutions, task.shape) * (weights > 0)[..., None]
    return {
        "tokens": to_tokens(puzzles, task.shape),
        "targets": np.ascontiguousarray(targets),
        "weights": normalised(weights, targets),
    }


def exact(task, puzzles, solutions, answers):
    """Checks which answers equal the solution at all positions to predict.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        puzzles, solutions, answers: uint8 `[n, positions]`.

    Returns:
        bool `[n]`.
    """
    return ((answers == solutions) | ~task.unknown_mask(puzzles)).all(axis=1)
