"""Supplies puzzles to the training steps, with their numbers of refeed steps and their carry."""

import keras
import numpy as np

from mdnn.datasets.batches.puzzle_batches import puzzle_batch
from mdnn.datasets.random_bits import EXPLORE, raw_bits, unit_floats
from mdnn.models.thinking.deep_supervision import CORRECT, FINITE, HALT_LOGIT
from mdnn.models.thinking.recurrent_inference import steps_by_length
from mdnn.tasks.feed import BatchFeed, sampled_no_grad_steps
from mdnn.tokens.symbols import to_symbols


class VariableDepthPuzzles(BatchFeed):
    """Supplies puzzles with a number of refeed steps that may differ from batch to batch.

    Args:
        config: `mdnn.Config` of a puzzle network.
        batches: `mdnn.datasets.batches.puzzle_batches.PuzzleBatches`.
        kind: `mdnn.datasets.puzzles.puzzle.Puzzle`, the kind of the puzzles.
    """

    def __init__(self, config, batches, kind):
        super().__init__(batches)
        self.config, self.kind = config, kind

    def batch(self, step):
        batch = with_unknown_mask(self.batches.at(step), self.kind)
        refeed = self.config.refeed
        if refeed.step_schedule == "sampled":
            batch["no_grad_steps"] = sampled_no_grad_steps(self.config, step)
        if refeed.step_schedule == "length":
            steps = int(steps_by_length(refeed.steps_by_length, batch["unknown_mask"]).max())
            batch["no_grad_steps"] = np.array(
                [max(0, steps - (refeed.bptt_steps or 1))], dtype="int32"
            )
        return batch


def with_unknown_mask(batch, kind):
    """Adds `unknown_mask` to a batch of puzzles: bool `[batch, positions]`, what is to solve."""
    return batch | {"unknown_mask": kind.unknown_mask(to_symbols(batch["tokens"]))}


class CarriedPuzzles(BatchFeed):
    """Supplies puzzles that stay in the batch, with their carried states, until they halt.

    The next puzzle immediately replaces a halted one, so the batch is always full. A puzzle is a
    pure function of its number; checkpoints therefore store only numbers and states.

    Args:
        config: `mdnn.Config` of a puzzle network with `refeed.supervision_steps` above 1.
        batches: `mdnn.datasets.batches.puzzle_batches.PuzzleBatches`.
        kind: `mdnn.datasets.puzzles.puzzle.Puzzle`, the kind of the puzzles.
    """

    def __init__(self, config, batches, kind):
        super().__init__(batches)
        self.config, self.kind = config, kind
        size = config.train.batch_size
        # For each example of the batch: number of its puzzle, supervision steps done, and minimum
        # number of supervision steps. Also the number of the next puzzle.
        self.number, self.next = np.arange(size), size
        self.age = np.zeros(size, dtype="int64")
        self.least = np.ones(size, dtype="int64")
        self.variables = {
            name: keras.Variable(np.zeros(size, dtype="int32"), trainable=False, name=name)
            for name in ("number", "age", "least")
        }
        self.variables["next"] = keras.Variable(np.zeros((), "int32"), trainable=False, name="next")
        self.step, self.least[:] = 0, self._least(0)

    def follow(self, step):
        self.training_step = step
        (self.loss_model,) = step.loss_models.values()

    def batch(self, step):
        self.step = step
        cases = self.batches.cases.take(self.number)
        batch = puzzle_batch(self.kind, *cases, self.batches.given_weight)
        self.unknown = self.kind.unknown_mask(cases[0])
        return batch | {"unknown_mask": self.unknown, "reset": self.age == 0}

    def update(self):
        refeed = self.config.refeed
        verdict = self.training_step.read(self.loss_model.verdict)
        self.age += 1
        stopped = self.age >= refeed.supervision_steps
        if refeed.step_schedule == "halt":
            stopped |= (verdict[HALT_LOGIT] > 0) & (self.age >= self.least)
        if refeed.step_schedule == "length":
            steps = steps_by_length(refeed.steps_by_length, self.unknown)
            stopped |= self.age * refeed.steps >= steps
        stopped |= verdict[FINITE] == 0
        self.right = verdict[CORRECT]
        self._replace(np.flatnonzero(stopped))

    def _replace(self, rows):
        self.number[rows] = self.next + np.arange(len(rows))
        self.next += len(rows)
        self.age[rows] = 0
        self.least[rows] = self._least(self.step + 1)[rows]

    def _least(self, step):
        """Samples the minimum numbers of supervision steps of puzzles that start at a step.

        Returns:
            Integers `[batch]`: 1, or with probability `refeed.halt_exploration_prob` a uniform
            number from 2 to `refeed.supervision_steps`.
        """
        refeed, size = self.config.refeed, self.config.train.batch_size
        words = raw_bits(self.config.seed, step, (2, size), EXPLORE)
        explores = unit_floats(words[0]) < refeed.halt_exploration_prob
        drawn = 2 + (words[1] % np.uint64(max(1, refeed.supervision_steps - 1))).astype("int64")
        return np.where(explores, drawn, 1)

    def state(self):
        values = {"number": self.number, "age": self.age, "least": self.least, "next": self.next}
        for name, variable in self.variables.items():
            variable.assign(np.asarray(values[name], dtype="int32"))
        carried = {variable.path: variable for variable in self.loss_model.carried}
        return {"carried": carried | self.variables}

    def restored(self):
        read = {
            name: np.array(keras.ops.convert_to_numpy(variable)).astype("int64")
            for name, variable in self.variables.items()
        }
        self.number, self.age, self.least = read["number"], read["age"], read["least"]
        self.next = int(read["next"])
