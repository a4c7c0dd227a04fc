"""Supplies batches to the training steps of a run."""

import numpy as np

from mdnn.config.tandem_tables import exchange_at
from mdnn.datasets.random_bits import STEPS, raw_bits


class BatchFeed:
    """Returns training batches unchanged; subclasses extend them or keep state between steps.

    Args:
        batches: `mdnn.datasets.batches.step_batches.StepBatches`.

    Attributes:
        spent: float, the spent share of the budget; the trainer sets it before each step.
    """

    spent = 0.0

    def __init__(self, batches):
        self.batches = batches

    def follow(self, step):
        """Receives the training step; a subclass may read its state.

        Args:
            step: `mdnn.training.steps.step_base.TrainingStep`.
        """

    def objective(self, step):
        """Returns the decoding mode that a step trains."""
        return self.batches.objective(step)

    def batch(self, step):
        """Returns the batch of a step, a dict of arrays."""
        return self.batches.at(step)

    def update(self):
        """Updates the state after a training step."""

    def state(self):
        """Returns additional sections of a checkpoint, a dict of dicts of variables."""
        return {}

    def restored(self):
        """Reads the variables of `state` again after a checkpoint was restored into them."""


class ExchangeFeed(BatchFeed):
    """Adds the weight of the exchange between members in tandem to each batch.

    Copies the members' weights for the exchange, where it is stale, before every `tandem.stale`-th
    step.

    Args:
        batches: see `BatchFeed`.
        tandem: `mdnn.config.tandem_tables.Tandem`.
        stale: `mdnn.models.tandem.stale_members.StaleMembers`, or `None`.
    """

    def __init__(self, batches, tandem, stale=None):
        super().__init__(batches)
        self.tandem, self.stale, self.step = tandem, stale, None

    def follow(self, step):
        self.step = step

    def state(self):
        if self.stale is None:
            return {}
        return {"stale": {copy.path: copy for copy in self.stale.copies}}

    def batch(self, step):
        if self.stale is not None and step % self.tandem.stale == 0:
            self.step.copy_values(self.stale.sources, self.stale.copies)
        batch = super().batch(step)
        weight = exchange_at(self.tandem, self.spent)
        # One copy per example, because a batch may be split into microbatches.
        return batch | {"exchange": np.full(len(batch["tokens"]), weight, "float32")}


class SampledDepthFeed(BatchFeed):
    """Adds a random number of refeed steps to each batch (`refeed.step_schedule = "sampled"`).

    Args:
        batches: see `BatchFeed`.
        config: `mdnn.Config`.
    """

    def __init__(self, batches, config):
        super().__init__(batches)
        self.config = config

    def batch(self, step):
        batch = super().batch(step)
        # One copy per example, because a batch may be split into microbatches.
        return batch | {
            "no_grad_steps": np.repeat(
                sampled_no_grad_steps(self.config, step), len(batch["tokens"])
            )
        }


class SupervisedBatches(BatchFeed):
    """Supplies each batch for several steps in a row, whose loss models carry its states.

    Args:
        batches: see `BatchFeed`.
        repeats: int, `refeed.supervision_steps`.
    """

    def __init__(self, batches, repeats):
        super().__init__(batches)
        self.repeats = repeats

    def follow(self, step):
        self.carried = next(iter(step.loss_models.values())).carried

    def objective(self, step):
        return self.batches.objective(step // self.repeats)

    def batch(self, step):
        batch = self.batches.at(step // self.repeats)
        return batch | {"reset": np.full(len(batch["tokens"]), step % self.repeats == 0)}

    def state(self):
        return {"carried": {variable.path: variable for variable in self.carried}}


def sampled_no_grad_steps(config, step):
    """Samples the number of refeed steps without gradient for a training step.

    The total number of refeed steps is uniformly distributed from `refeed.bptt_steps` to
    `refeed.steps`. The result depends only on the arguments.

    Args:
        config: `mdnn.Config` with `refeed.step_schedule = "sampled"`.
        step: int, number of the training step.

    Returns:
        int32 `[1]`.
    """
    refeed = config.refeed
    drawn = int(raw_bits(config.seed, step, 1, STEPS)[0])
    return np.array([drawn % (refeed.steps - refeed.bptt_steps + 1)], dtype="int32")
