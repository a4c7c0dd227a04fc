"""Defines `FieldHeads`: the scores of a puzzle's symbols, one from each field."""

import keras
from keras import ops

from mdnn.layers.decoding_steps import decoding_steps
from mdnn.layers.weight_rules import RuledLayer, get_initializer

# Score of symbols without a field.
NEVER = -1e9


@keras.saving.register_keras_serializable(package="mdnn")
class FieldHeads(RuledLayer):
    """Scores symbol `f + 1` by a dense layer on field `f`, shared by all fields.

    Args:
        fields: int, as in `mdnn.layers.FieldEmbedding`.

    Input shape:
        `[batch, fields * positions, width]`, and optionally `targets`, which are ignored: a symbol
        has a single decoding step.

    Output shape:
        `[batch, positions, classes]`, float32 scores of the symbols in the layout of
        `ModalityHeads` for the modality `"symbol"`; -1e9 for symbols without a field.
    """

    table, places, base, digits = "bytes", False, 2, 1

    def __init__(self, fields, **kwargs):
        super().__init__(**kwargs)
        self.fields, self.modalities, self.biases = int(fields), ["symbol"], {}
        (self.step,) = self.steps = decoding_steps(["symbol"])

    def build(self, hidden_shape, targets_shape=None):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(hidden_shape[-1],),
            initializer=get_initializer("random_normal", stddev=0.02),
        )

    def call(self, hidden, targets=None):
        scores = ops.matmul(hidden, ops.cast(self.kernel, hidden.dtype))
        scores = ops.reshape(scores, (-1, self.fields, hidden.shape[1] // self.fields))
        scores = ops.cast(ops.transpose(scores, (0, 2, 1)), "float32")
        after = self.step.classes - 1 - self.fields
        around = [[0, 0], [0, 0], [1, after]]
        return ops.pad(scores, around, constant_values=NEVER)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example."""
        return input_shape[1] * input_shape[2]

    def compute_output_shape(self, hidden_shape, targets_shape=None):
        return (hidden_shape[0], hidden_shape[1] // self.fields, self.step.classes)

    def compute_output_spec(self, hidden, targets=None):
        return keras.KerasTensor(self.compute_output_shape(hidden.shape), "float32")

    def get_config(self):
        return {**super().get_config(), "fields": self.fields}
