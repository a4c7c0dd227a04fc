"""The halting head: predicts whether the current answer is correct."""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer

# Score (logit) above which inference halts: a probability of 98%. In training a threshold of 0 is
# enough: a puzzle that halts too early loses examples that recur in other puzzles. Measured on
# 1,000 sudokus: of 6x6 88% were exact with a threshold of 0 (after 6.4 steps on average), 99.2%
# with 2 (7.5), 99.9% with 4 (8.9) and with 6 (11.3); of 9x9 79.9% with 0, 94.4% with 2, 95.1% with
# 4 (18.0) and 95.1% with 6 (32.0).
CERTAIN = 4.0


@keras.saving.register_keras_serializable(package="mdnn")
class HaltHead(RuledLayer):
    """Passes its input through; `stop` computes the halting score from it.

    The score is a dense layer on each position, or on the mean over all positions. Its weights are
    initialized to 0 and its bias to -5, as in TRM (arXiv 2510.04871), so that at first nothing
    halts.

    Args:
        each_position: bool, whether each position has a score of its own.

    Input shape:
        `[batch, positions, width]`.

    Output shape:
        The same.
    """

    def __init__(self, each_position=False, **kwargs):
        super().__init__(**kwargs)
        self.each_position = each_position

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1],), initializer="zeros")
        self.bias = self.add_weight(
            name="bias", shape=(), initializer=keras.initializers.Constant(-5.0)
        )

    def call(self, hidden):
        return hidden

    def stop(self, hidden):
        """Returns halting scores, float32: logits of the answer being correct.

        Args:
            hidden: `[batch, ..., width]`, the input of the heads.

        Returns:
            `[batch]`, or `[batch, ...]` with `each_position`.
        """
        hidden = ops.cast(hidden, "float32")
        if not self.each_position:
            hidden = ops.mean(hidden, axis=1)
        return ops.matmul(hidden, ops.cast(self.kernel, "float32")) + ops.cast(self.bias, "float32")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "each_position": self.each_position}


class HaltingPositions:
    """Decides from a state which positions the halting head stops.

    Args:
        final_norm: layer before the heads, or `None`.
        halt: `HaltHead` with `each_position`.
    """

    def __init__(self, final_norm, halt):
        self.final_norm, self.halt = final_norm, halt

    def __call__(self, state):
        """Returns booleans `[batch, *grid, 1]` for a state `[batch, *grid, width]`."""
        x = state if self.final_norm is None else self.final_norm(state)
        return (self.halt.stop(x) > CERTAIN)[..., None]
