"""Trains a network at several densities (`train.density`): one of them in each step."""

from mdnn.config.density import narrowed_config
from mdnn.datasets.random_bits import WIDTHS, raw_bits
from mdnn.growth.narrowing import density_slices
from mdnn.models.builder import build
from mdnn.models.derived_loss import DerivedLoss
from mdnn.training.growing.training_state import generators


class TrainedWidths:
    """Makes the narrower networks of a training and draws the width of each step.

    A narrower network computes with slices of the trained weights: its products, and its gradients,
    are smaller. Each decoding mode has one compiled step per width.

    Args:
        config: `mdnn.Config`.
        network: `mdnn.models.network.Network` that is trained.
        task: `mdnn.tasks.base.Task`.

    Attributes:
        networks: dict from the names of steps (see `name`) to narrower networks.
        variables: list of the trained variables.
    """

    def __init__(self, config, network, task):
        self.config, self.network, self.task = config, network, task
        self.variables = network.trainable_variables
        self.densities, self.networks, self._narrow = config.train.density, {}, {}
        for density in self.densities[:-1]:
            small = build(narrowed_config(config, density), network.words)
            slices = density_slices(small, network)
            for mode, one in task.networks(small).items():
                self.networks[step_name(mode, density)] = one
                self._narrow[id(one)] = slices

    def loss_model(self, network, loss):
        """Returns the loss model of a network, as `mdnn.tasks.base.Task.loss_model` does."""
        inner = self.task.loss_model(network, loss)
        if id(network) not in self._narrow:
            return inner
        slices = self._narrow[id(network)]
        pairs = [(weight, slices[weight.path]) for weight in network.weights]
        large = generators(self.network)
        states = [(state, large[name]) for name, state in generators(network).items()]

        def derive():
            return [(weight, one.taken(one.source.value)) for weight, one in pairs]

        return DerivedLoss(inner, derive, [self.network], states)

    def step_networks(self, networks):
        """Returns the networks of the steps, a dict.

        Args:
            networks: dict from modes to whole networks, as `mdnn.tasks.base.Task.networks` gives.
        """
        return networks | self.networks

    def wrapped(self, step, optimizer):
        """Returns the training step as it is."""
        return step

    def counted(self, mode, name):
        """Returns the name under which the loss of a step counts: `train_loss` takes modes."""
        return name

    def restored(self, step):
        """Updates nothing after a checkpoint was restored: a step's number decides its width."""

    def name(self, mode, step):
        """Returns the name of the step that trains a decoding mode at a drawn width.

        Args:
            mode: str, the decoding mode.
            step: int, number of the step; the width depends on nothing else but the seed.
        """
        if not self.densities:
            return mode
        drawn = int(raw_bits(self.config.seed, step, 1, WIDTHS)[0] >> 32)
        return step_name(mode, self.densities[drawn * len(self.densities) >> 32])


def step_name(mode, density):
    """Returns the name of a mode's steps at a density."""
    return mode if density == 1 else f"{mode} at density {density:g}"
