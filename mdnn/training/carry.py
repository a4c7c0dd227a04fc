"""Which puzzles a step learns from, and how many steps of thought they get."""

import keras
import numpy as np

from mdnn.datasets.batches.puzzle_batches import puzzle_batch
from mdnn.datasets.random_bits import EXPLORE, STEPS, raw_bits
from mdnn.models.deep_supervision import RIGHT, SOUND, STOP, DeepSupervisionLoss
from mdnn.models.loss_model import LossModel
from mdnn.models.recurrent_inference import steps_by_length
from mdnn.tokens.symbols import to_units


def batches_for(config, data):
    """What hands out the batches of a run: `PlainBatches`, `VariableDepthBatches` or
    `CarriedBatches`."""
    refeed = config.refeed
    if refeed.supervision_steps > 1:
        return CarriedBatches(config, data)
    if config.context.layout == "puzzle":
        return VariableDepthBatches(config, data)
    return PlainBatches(data.batches)


def loss_model_for(model, loss, config):
    """What a step computes for a network: a `LossModel`, of puzzles a `DeepSupervisionLoss`."""
    if config.context.layout == "puzzle":
        return DeepSupervisionLoss(model, loss, config)
    return LossModel(model, loss)


class PlainBatches:
    """TextBatches as they are.

    Args:
        batches: `mdnn.datasets.batches.text_batches.StepBatches`.
    """

    def __init__(self, batches):
        self.batches = batches

    def follow(self, learn):
        """Gets to know the step, as `mdnn.training.step.make_step` makes it."""

    def batch(self, step):
        """The batch of a step, a dict of arrays."""
        return self.batches.at(step)

    def settle(self):
        """Takes note of what the step made of its batch."""

    def parts(self):
        """What a checkpoint holds of this beside the network: see `checkpoint.parts_of`."""
        return {}

    def restored(self):
        """Goes on from what a checkpoint gave the variables in `parts`."""


class VariableDepthBatches(PlainBatches):
    """Puzzles whose number of steps may differ from batch to batch.

    Args:
        config: the config of puzzles.
        data: `mdnn.training.puzzle_training.PuzzleData`.
    """

    def __init__(self, config, data):
        super().__init__(data.batches)
        self.config, self.task = config, data.task

    def batch(self, step):
        batch = asked_for(self.batches.at(step), self.task)
        refeed = self.config.refeed
        if refeed.step_schedule == "sampled":
            drawn = int(raw_bits(self.config.seed, step, 1, STEPS)[0])
            free = drawn % (refeed.steps - refeed.bptt_steps + 1)
            batch["free"] = np.array([free], dtype="int32")
        if refeed.step_schedule == "length":
            steps = int(steps_by_length(refeed.steps_by_length, batch["asked"]).max())
            batch["free"] = np.array([max(0, steps - (refeed.bptt_steps or 1))], dtype="int32")
        return batch


def asked_for(batch, task):
    """A batch of puzzles with `asked`, boolean `[batch, positions]`: which positions are to be
    answered."""
    return batch | {"asked": task.asked(to_units(batch["tokens"]))}


class CarriedBatches(PlainBatches):
    """Puzzles that stay in the batch until they are done, each with the state that it has reached.

    A puzzle that has stopped makes room for the next one at once: all of a batch is always at
    work. Which puzzle is the next is a pure function of its number, so that a checkpoint holds
    numbers and states alone.

    Args:
        config: the config of puzzles, `refeed.supervision_steps` above 1.
        data: `mdnn.training.puzzle_training.PuzzleData`.
    """

    def __init__(self, config, data):
        super().__init__(data.batches)
        self.config, self.data = config, data
        size = config.train.batch_size
        # Row by row: the number of its puzzle, segments that it has had, segments that it has to
        # have; the next puzzle's number.
        self.number, self.next = np.arange(size), size
        self.age = np.zeros(size, dtype="int64")
        self.least = np.ones(size, dtype="int64")
        self.variables = {
            name: keras.Variable(np.zeros(size, dtype="int32"), trainable=False, name=name)
            for name in ("number", "age", "least")
        }
        self.variables["next"] = keras.Variable(np.zeros((), "int32"), trainable=False, name="next")
        self.step, self.least[:] = 0, self._least(0)

    def follow(self, learn):
        self.learn = learn
        (self.learner,) = learn.learners.values()

    def batch(self, step):
        self.step = step
        cases = self.batches.cases.take(self.number)
        task, weight = self.data.task, self.batches.given_weight
        batch = puzzle_batch(task, *cases, weight)
        self.asked = task.asked(cases[0])
        return batch | {"asked": self.asked, "fresh": self.age == 0}

    def settle(self):
        refeed = self.config.refeed
        verdict = self.learn.read(self.learner.verdict)
        self.age += 1
        stopped = self.age >= refeed.supervision_steps
        if refeed.step_schedule == "halt":
            stopped |= (verdict[STOP] > 0) & (self.age >= self.least)
        if refeed.step_schedule == "length":
            steps = steps_by_length(refeed.steps_by_length, self.asked)
            stopped |= self.age * refeed.steps >= steps
        stopped |= verdict[SOUND] == 0
        self.right = verdict[RIGHT]
        self._replace(np.flatnonzero(stopped))

    def _replace(self, rows):
        self.number[rows] = self.next + np.arange(len(rows))
        self.next += len(rows)
        self.age[rows] = 0
        self.least[rows] = self._least(self.step + 1)[rows]

    def _least(self, step):
        """Segments that puzzles which begin at a step have to have."""
        refeed, size = self.config.refeed, self.config.train.batch_size
        words = raw_bits(self.config.seed, step, (2, size), EXPLORE)
        explores = (words[0] >> np.uint64(11)) * 2.0**-53 < refeed.halt_exploration_prob
        drawn = 2 + (words[1] % np.uint64(max(1, refeed.supervision_steps - 1))).astype("int64")
        return np.where(explores, drawn, 1)

    def parts(self):
        values = {"number": self.number, "age": self.age, "least": self.least, "next": self.next}
        for name, variable in self.variables.items():
            variable.assign(np.asarray(values[name], dtype="int32"))
        carried = {variable.path: variable for variable in self.learner.carried}
        return {"carried": carried | self.variables}

    def restored(self):
        read = {
            name: np.array(keras.ops.convert_to_numpy(variable)).astype("int64")
            for name, variable in self.variables.items()
        }
        self.number, self.age, self.least = read["number"], read["age"], read["least"]
        self.next = int(read["next"])
