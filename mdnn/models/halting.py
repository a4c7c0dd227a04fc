"""A head that says when an answer is ready."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mdnn")
class HaltHead(keras.layers.Layer):
    """Hands its input on, and can tell from it whether to stop.

    The score is a dense layer on the mean over all slots. It starts with weights 0 and bias -5,
    as TRM's does (arXiv 2510.04871): at first nothing stops.

    Input shape:
        `[batch, slots, width]`.

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
        """Scores (logits) of stopping, float32 `[batch]`: above 0, the answer is ready."""
        mean = ops.mean(ops.cast(hidden, "float32"), axis=1)
        return ops.matmul(mean, ops.cast(self.kernel, "float32")) + ops.cast(self.bias, "float32")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
