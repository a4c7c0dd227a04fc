"""Variables in which a part of a network's weights is trained."""

import keras
from keras import ops


class PartWeights(keras.layers.Layer):
    """Holds copies of some weights of a network, one part after another.

    Args:
        weights: list of variables, the first part; other parts have the same shapes.
    """

    def __init__(self, weights):
        super().__init__(name="part", dtype="float32")
        self.parts = [
            self.add_weight(
                name=weight.path.replace("/", "."), shape=weight.shape, initializer="zeros"
            )
            for weight in weights
        ]
        self.built = True

    def load(self, weights):
        """Copies the values of a part's weights into these variables."""
        for own, weight in zip(self.parts, weights, strict=True):
            own.assign(ops.convert_to_numpy(weight))

    def store(self, weights):
        """Writes the values back to the weights of a part."""
        for own, weight in zip(self.parts, weights, strict=True):
            weight.assign(ops.convert_to_numpy(own))


def weights_of_blocks(network, numbers):
    """Returns the trainable weights of some repetitions of the backbone's layers, a list.

    Args:
        network: `mdnn.models.network.Network`.
        numbers: ints, the repetitions, in the order of the result.
    """
    return [
        weight
        for number in numbers
        for block in network.blocks
        if block.name.startswith(f"block_{number}_")
        for weight in block.trainable_weights
    ]


def weights_above(network):
    """Returns the trainable weights after the backbone: final norm, heads, halting head."""
    layers = (network.final_norm, network.heads, network.halt)
    return [w for layer in layers if layer is not None for w in layer.trainable_weights]


def weights_around(network):
    """Returns the trainable weights that belong to no block, in the network's order."""
    inside = {id(weight) for block in network.blocks for weight in block.trainable_weights}
    return [weight for weight in network.trainable_weights if id(weight) not in inside]
