"""Trains a part of the weights at a time (`[train.partial]`)."""

from mdnn.datasets.random_bits import PARTS, raw_bits
from mdnn.models.derived_loss import DerivedLoss
from mdnn.training.growing.training_state import generators
from mdnn.training.plans.part_step import PartStep
from mdnn.training.plans.part_weights import (
    PartWeights,
    weights_above,
    weights_around,
    weights_of_blocks,
)


class TrainedPart:
    """Makes the loss models of a training of parts, and draws the part of each step.

    The trained weights stand in variables of their own (`PartWeights`), which the optimizer knows
    in place of the network's: it holds the state of one part. The repetitions of the backbone's
    layers are parted into groups; each group takes the place of the one before, and the optimizer's
    state of these variables is reset.

    - `"top"`: the upper `blocks` repetitions, the final norm and the heads. Gradients stop below.
    - `"random"`: `blocks` repetitions, drawn every `every` steps, and all weights that belong to no
      block (as in LISA, arXiv 2403.17919).

    Args:
        config: `mdnn.Config` with `train.partial.select` other than `"all"`.
        network: `mdnn.models.network.Network` that is trained. Its variables are frozen.
        task: `mdnn.tasks.base.Task`.

    Attributes:
        networks: dict from the names of steps (see `name`) to networks.
        variables: list of the trained variables.
        switched: list of ints, the numbers of those that become another part's.
        current: int, the number of the group that they hold; `None` before the first step.
    """

    def __init__(self, config, network, task):
        self.config, self.network, self.task = config, network, task
        spec, depth = config.train.partial, config.backbone.depth
        if spec.select == "top":
            groups, always = [range(depth - spec.blocks, depth)], weights_above(network)
        else:
            count = depth // spec.blocks
            groups, always = [range(k, depth, count) for k in range(count)], weights_around(network)
        self.parts = [[*always, *weights_of_blocks(network, group)] for group in groups]
        self.groups = [tuple(group) for group in groups]
        self.weights = PartWeights(self.parts[0])
        self.variables = self.weights.parts
        self.switched = list(range(len(always), len(self.variables)))
        network.trainable = False
        self.networks, self._numbers = {}, {}
        for number in range(len(self.groups)):
            # Each group has networks of its own, and so loss models and steps of its own.
            shared = task.networks(network)
            made = {id(one): one.with_options() for one in shared.values()}
            for mode, one in shared.items():
                self.networks[self._name(mode, number)] = made[id(one)]
                self._numbers[id(made[id(one)])] = number
        # The part is taken in the first step: until then other code may assign the weights.
        self.current = None

    def take(self, group):
        """Takes the values of a group's weights."""
        self.weights.load(self.parts[group])
        self.current = group

    def give_back(self):
        """Writes the values back to the weights of the current group."""
        if self.current is not None:
            self.weights.store(self.parts[self.current])

    def restored(self, step):
        """Loads the group of weights that was trained last, after a checkpoint was restored.

        Args:
            step: int, number of steps that were taken.
        """
        self.take(self.group_at(max(0, step - 1)))

    def loss_model(self, network, loss):
        """Returns the loss model of a network, as `mdnn.tasks.base.Task.loss_model` does."""
        inner, part = self.task.loss_model(network, loss), self.parts[self._numbers[id(network)]]
        trained = {id(weight) for weight in part}
        others = [weight for weight in self.network.weights if id(weight) not in trained]
        states = [(state, state) for state in generators(self.network).values()]

        def derive():
            pairs = [(w, own.value) for w, own in zip(part, self.variables, strict=True)]
            return pairs + [(w, w.value) for w in others]

        return DerivedLoss(inner, derive, [self.weights, self.network], states)

    def group_at(self, step):
        """Returns the number of the group that a step trains: a function of seed and step."""
        period = step // self.config.train.partial.every
        drawn = int(raw_bits(self.config.seed, period, 1, PARTS)[0] >> 32)
        return drawn * len(self.groups) >> 32

    def step_networks(self, networks):
        """Returns the networks of the steps, a dict; `networks` are those of the task."""
        return self.networks

    def wrapped(self, step, optimizer):
        """Returns the step that trains one part at a time."""
        return PartStep(step, self, optimizer)

    def counted(self, mode, name):
        """Returns the name under which the loss of a step is recorded, its mode's."""
        return mode

    def name(self, mode, step):
        """Returns the name of the step that trains a decoding mode."""
        return self._name(mode, self.group_at(step))

    def number_of(self, name):
        """Returns the number of the group that a step of a name trains."""
        return self._numbers[id(self.networks[name])]

    def _name(self, mode, group):
        return f"{mode}, blocks {', '.join(str(number + 1) for number in self.groups[group])}"
