"""What hands batches to the training steps of a run."""

import numpy as np

from mdnn.datasets.random_bits import STEPS, raw_bits


class BatchFeed:
    """Hands out batches as they are; a subclass adds to them, or keeps state between steps.

    Args:
        batches: `mdnn.datasets.batches.text_batches.StepBatches`.
    """

    def __init__(self, batches):
        self.batches = batches

    def follow(self, step):
        """Takes the training step, as `mdnn.training.step.make_step` makes it."""

    def batch(self, step):
        """Returns the batch of a step, a dict of arrays."""
        return self.batches.at(step)

    def update(self):
        """Takes note of what the step made of its batch."""

    def state(self):
        """Returns what a checkpoint holds of this: a dict of dicts of variables."""
        return {}

    def restored(self):
        """Continues from the values that a checkpoint gave the variables in `state`."""


class SampledDepthFeed(BatchFeed):
    """Hands out batches with a number of steps of their own (`refeed.step_schedule = "sampled"`).

    Args:
        batches: see `BatchFeed`.
        config: `mdnn.Config`.
    """

    def __init__(self, batches, config):
        super().__init__(batches)
        self.config = config

    def batch(self, step):
        batch = super().batch(step)
        # One number for each example: a batch may be cut into microbatches.
        return batch | {
            "free": np.repeat(sampled_free_steps(self.config, step), len(batch["tokens"]))
        }


def sampled_free_steps(config, step):
    """Returns how many steps without gradient a training step takes, int32 `[1]`.

    A uniform draw, so that there are `refeed.bptt_steps` to `refeed.steps` steps altogether; a pure
    function of the arguments.

    Args:
        config: `mdnn.Config` with `refeed.step_schedule = "sampled"`.
        step: int, the number of the training step.
    """
    refeed = config.refeed
    drawn = int(raw_bits(config.seed, step, 1, STEPS)[0])
    return np.array([drawn % (refeed.steps - refeed.bptt_steps + 1)], dtype="int32")
