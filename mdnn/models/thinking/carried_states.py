"""States that training carries from one step to the next."""

import keras
from keras import ops


class CarriedStates(keras.layers.Layer):
    """Holds the states of a batch between training steps; they are not network weights.

    Args:
        batch: int, number of examples.
        network: `mdnn.models.network.Network` with refeeding.
        verdict: bool, whether to also hold a verdict on each example.

    Attributes:
        states: list of variables `[batch, *grid, width]`.
        verdict: variable `[3, batch]`, or `None`.
    """

    def __init__(self, batch, network, verdict=False):
        super().__init__(name="memory", dtype="float32")
        shape = (batch, *network.grid, network.width)
        self.states = [
            self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
            for name in ("state", "inner_state")[: network.refeed.states]
        ]
        self.verdict = None
        if verdict:
            self.verdict = self.add_weight(
                name="verdict", shape=(3, batch), initializer="zeros", trainable=False
            )
        self.built = True

    def resumed(self, reset, first, x):
        """Returns the states to go on from.

        Args:
            reset: boolean `[batch]`, true for examples that start over.
            first: tuple of their first states; `None` stands for zeros.
            x: tensor of the shape and dtype of the states.
        """
        reset = ops.reshape(reset, (-1, *[1] * (len(x.shape) - 1)))
        return tuple(
            ops.where(reset, 0.0 if start is None else start, ops.cast(state, x.dtype))
            for start, state in zip(first, self.states, strict=True)
        )

    def store(self, states, finite):
        """Stores states without gradient; those of an example that is not finite become zeros.

        Args:
            states: tuple of tensors.
            finite: boolean `[batch]`.
        """
        for variable, state in zip(self.states, states, strict=True):
            state = ops.stop_gradient(ops.cast(state, "float32"))
            stays = ops.reshape(finite, (-1, *[1] * (len(state.shape) - 1)))
            variable.assign(ops.where(stays, state, 0.0))


def are_finite(states):
    """Returns whether all states of each example are finite, boolean `[batch]`."""
    found = [ops.all(ops.isfinite(y), axis=tuple(range(1, len(y.shape)))) for y in states]
    return ops.all(ops.stack(found), axis=0)
