"""A head that says when an answer is ready."""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer

# The score from which on a puzzle that is asked is answered, a chance of 98%. In training 0 is
# enough: what is sent away too early there comes back in another puzzle. Of 1,000 sudokus of 6x6
# 88% were exact with 0 (after 6.4 steps in the mean), 99.2% with 2 (7.5), 99.9% with 4 (8.9) and
# with 6 (11.3); of 9x9 79.9, 94.4, 95.1 (18.0) and 95.1% (32.0).
CERTAIN = 4.0


@keras.saving.register_keras_serializable(package="mdnn")
class HaltHead(RuledLayer):
    """Hands its input on, and can tell from it whether to stop.

    The score is a dense layer on the mean over all positions. It starts with weights 0 and bias -5,
    as TRM's does (arXiv 2510.04871): at first nothing stops.

    Input shape:
        `[batch, positions, width]`.

    Output shape:
        The same.
    """

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1],), initializer="zeros")
        self.bias = self.add_weight(
            name="bias", shape=(), initializer=keras.initializers.Constant(-5.0)
        )

    def call(self, hidden):
        return hidden

    def stop(self, hidden):
        """Scores of stopping, float32 `[batch]`: logits of the answer being right."""
        mean = ops.mean(ops.cast(hidden, "float32"), axis=1)
        return ops.matmul(mean, ops.cast(self.kernel, "float32")) + ops.cast(self.bias, "float32")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
