"""What hands batches to the training steps of a run."""


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
