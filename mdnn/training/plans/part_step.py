"""A training step that trains one part of the weights at a time."""

from mdnn.growth.optimizer_growth import restart_moments


class PartStep:
    """Switches the trained part before a step that trains another one.

    Has the interface of `mdnn.training.steps.step_base.TrainingStep`.

    Args:
        step: `TrainingStep` whose loss models are those of `part`.
        part: `mdnn.training.plans.trained_part.TrainedPart`.
        optimizer: the step's optimizer.
    """

    def __init__(self, step, part, optimizer):
        self.step, self.part, self.optimizer = step, part, optimizer

    @property
    def loss_models(self):
        return self.step.loss_models

    @property
    def fault(self):
        return self.step.fault

    def __call__(self, batch, rate, name=None):
        """Takes one optimizer step on a batch."""
        group, before = self.part.number_of(name), self.part.current
        if group != before:
            self.sync()
            self.part.take(group)
            if before is not None:
                restart_moments(self.optimizer, self.part.switched)
        return self.step(batch, rate, name)

    def sync(self):
        """Writes the current values back to the network's weights."""
        self.step.sync()
        self.part.give_back()

    def read(self, variable):
        """Returns the current value of a non-trainable variable as an array, without `sync`."""
        return self.step.read(variable)
