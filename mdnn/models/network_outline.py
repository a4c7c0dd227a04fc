"""The layers of a network without its graph, for code that reads weights and computes nothing."""

import keras

from mdnn.models.network_layers import default_options, make_layers
from mdnn.tensorflow_graphs import forgetting_gradients


class NetworkOutline:
    """Has the layers of a config and the shapes of their weights, and cannot be called.

    A `Network` traces the graph of a Keras model and makes a variable of the backend for each
    weight: TensorFlow keeps tens of megabytes of that when the network is forgotten. Variables of
    an outline have no values but those that a rule of `mdnn.layers.weight_rules.each_weight` gives
    them.

    Args:
        config: `mdnn.Config` of one network.
        words: the table of words (strings), for configs with `tokens.words` above 0.

    Attributes:
        config, options, embedding, blocks, refeed, final_norm, heads, halt, grid, width, positions,
            can_be_causal: see `mdnn.models.network.Network`.
        weights: list of `keras.Variable`.
    """

    @forgetting_gradients()
    def __init__(self, config, words=()):
        # Variables that are made in the scope get no value before it ends.
        with keras.StatelessScope():
            layers = make_layers(config, tuple(words))
        self.config, self.options = config, default_options(config)
        self.embedding, self.blocks = layers.embedding, list(layers.blocks)
        self.refeed, self.final_norm = layers.refeed, layers.final_norm
        self.heads, self.halt = layers.heads, layers.halt
        self.grid = tuple(layers.to_grid.target_shape[:-1])
        self.width = layers.to_grid.target_shape[-1]
        self.positions = config.context.positions
        self.can_be_causal = all(block.can_be_causal for block in self.blocks)
        parts = (self.embedding, *self.blocks, self.refeed, self.final_norm, self.heads, self.halt)
        found = {id(w): w for part in parts if part is not None for w in part.weights}
        self.weights = list(found.values())

    def random_states(self):
        """See `mdnn.models.network.Network.random_states`."""
        if self.refeed is None or self.refeed.initial_state != "random":
            return []
        return self.refeed.random_states((*self.grid, self.width))
