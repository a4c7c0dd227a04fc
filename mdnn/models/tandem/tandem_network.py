"""Networks in tandem as one network: several members, used as an ensemble or one by one."""

import dataclasses
import tomllib

import keras
import numpy as np

from mdnn.config.load import Config
from mdnn.config.schema import with_new_names
from mdnn.config.tandem_tables import Tandem
from mdnn.errors import MdnnError
from mdnn.models.call_options import CallOptions, options_for
from mdnn.models.head_options import decoding
from mdnn.models.network import Network
from mdnn.models.shared_layers import add_own_node, without_nodes
from mdnn.models.tandem.members import Members
from mdnn.models.tandem.tandem_decoder import TandemDecoder
from mdnn.models.tandem.tandem_heads import TandemHeads
from mdnn.tokens.features import NUM_FEATURES


@keras.saving.register_keras_serializable(package="mdnn")
class TandemNetwork(keras.Model):
    """Several networks of one config with weights of their own, as one `keras.Model`.

    It takes the place of a `mdnn.Network` in training, evaluation, decoding and export: its scores
    are the mean of the members' probabilities.

    Args:
        config: `mdnn.Config` with `tandem.members` of at least 2. Member m starts as the network of
            the same config with `seed + m`.
        words, options, shared, name: see `mdnn.Network`.

    Call arguments and result: see `mdnn.Network`.

    Attributes:
        members: `Members`, the layer with all weights.
        template: `Network`, one member's layers; its own weights are unused.
        heads: `TandemHeads`.
        width: int, channels of the inputs of the heads: those of all members.

    Example:

    >>> network = mdnn.build(mdnn.load_config("configs/text-grid.toml", ["tandem.members=4"]))
    >>> one = network.member(2)
    """

    def __init__(self, config, words=(), options=None, shared=None, name="mdnn", **kwargs):
        count = config.tandem.members
        if shared is None:
            template, arrays = _start(config, tuple(words), count)
            members = Members(template, arrays, config.seed, name="members")
            heads = TandemHeads(members, **decoding(config), name="heads")
        else:
            template, members, heads = shared.template, shared.members, shared.heads
        options = options or template.options
        own = {
            "config": config,
            "words": tuple(words),
            "options": options,
            "template": template,
            "members": members,
            "heads": heads,
            "embedding": template.embedding,
            # Blocks, refeeding and halting belong to the members.
            "blocks": [],
            "refeed": None,
            "halt": None,
            "step_limits": None,
            "row_wise": False,
        }
        for key, value in own.items():
            object.__setattr__(self, key, value)
        shape = (self.positions, NUM_FEATURES)
        tokens = keras.Input(shape, dtype="int32", name="tokens")
        targets = keras.Input(shape, dtype="int32", name="targets", optional=True)
        with without_nodes(shared):
            scores = self.scores(tokens, targets)
            inputs = {"tokens": tokens, "targets": targets}
            super().__init__(inputs=inputs, outputs=scores, name=name, **kwargs)
        if shared is not None:
            add_own_node(self)

    @property
    def positions(self):
        return self.config.context.positions

    @property
    def grid(self):
        return self.template.grid

    @property
    def width(self):
        return self.members.count * self.template.width

    @property
    def causal(self):
        return self.options.causal

    @property
    def steps(self):
        return self.options.steps

    @property
    def can_be_causal(self):
        return self.template.can_be_causal

    def with_options(self, causal=None, steps=None):
        """Returns the same members with other default options; see `Network.with_options`."""
        # The template refuses what its wiring does not allow.
        options = options_for(self.template, causal, steps)
        return type(self)(self.config, self.words, options, shared=self, name=self.name)

    def hidden(self, tokens, causal=None, steps=None, states=None, training=None):
        """Returns the inputs of the heads of all members, `[batch, positions, members * width]`.

        Args:
            tokens: int32 `[batch, positions, 8]`.
            causal, training: see `mdnn.models.network.Network.hidden`.
            steps, states: `None`: members are not refed.

        Raises:
            MdnnError: several steps, or states.
        """
        if steps not in (None, 1) or states is not None:
            raise MdnnError("networks in tandem are not refed: expected one step and no states")
        options = self.options.changed(causal=causal)
        return self.members(tokens, options=options, training=training)

    def scores(self, tokens, targets=None, causal=None, steps=None, states=None, training=None):
        """Returns the scores of every position; see `Network.scores`."""
        return self.heads(self.hidden(tokens, causal, steps, states, training), targets)

    def decoder(self, steps=None):
        """Returns the decoder that runs the members position by position."""
        return TandemDecoder(self, steps)

    def member(self, number):
        """Returns one member, a `Network` with its weights.

        Args:
            number: int from 0.

        Raises:
            MdnnError: there is no such member.
        """
        count = self.members.count
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
            raise MdnnError(f"member: expected a number from 0 to {count - 1}, received {number!r}")
        network = Network(one_of(self.config, number), self.words)
        network.set_weights(self.members.arrays_of(number))
        return network

    def get_config(self):
        return {
            "name": self.name,
            "config": self.config.to_toml(),
            "words": list(self.words),
            "causal": self.causal,
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        options = CallOptions(config["causal"], config["steps"])
        table = Config.from_dict(with_new_names(tomllib.loads(config["config"])))
        return cls(table, config["words"], options, name=config["name"])


def one_of(config, number):
    """Returns the config of one member: its seed, and no tandem."""
    seed = (config.seed + number) % 2**31
    return dataclasses.replace(config, seed=seed, tandem=Tandem())


def _start(config, words, count):
    """Returns the first member, and the initial weights of all members, a list of arrays."""
    first = Network(one_of(config, 0), words)
    size = count * first.count_params()
    if size > config.limits.parameters:
        raise MdnnError(
            f"limits.parameters: expected at most {config.limits.parameters:,} weights, received "
            f"{size:,} of {count} members"
        )
    # Filled member by member: lists of all members' weights would be a second copy.
    arrays = [np.empty((count, *weight.shape), weight.dtype) for weight in first.get_weights()]
    for number in range(count):
        member = Network(one_of(config, number), words) if number else first
        for array, values in zip(arrays, member.get_weights(), strict=True):
            array[number] = values
    return first, arrays
