"""A vector for every position and every symbol that could be in it."""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer
from mdnn.tokens.features import BYTES, WIDTH


@keras.saving.register_keras_serializable(package="mdnn")
class FieldEmbedding(RuledLayer):
    """Fields of a puzzle: field f of a position says what is known of symbol f + 1 there.

    One of three rows: nothing is known (the position's symbol is 0, which is asked for), the
    position is given and it is this symbol, or it is given and another one. The rows are the same
    for all fields, so that no symbol is another's better.

    Args:
        width: int, length of a field's vector.
        fields: int, symbols that can be put into a position.
        embeddings_initializer: initializer of the rows.

    Input shape:
        Integer tensor of tokens `[batch, positions, 8]`, of symbols.

    Output shape:
        `[batch, fields * positions, width]`, all positions of a field one after another, in the
        layer's compute dtype.

    Raises:
        ValueError: an input whose last axis is not a token row.
    """

    def __init__(self, width, fields, embeddings_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.width, self.fields = int(width), int(fields)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer or keras.initializers.RandomNormal(stddev=1.0)
        )
        self.supports_masking = False

    def build(self, input_shape):
        if input_shape[-1] != WIDTH:
            raise ValueError(
                f"{self.name} takes tokens [batch, positions, {WIDTH}], "
                f"received shape {tuple(input_shape)}"
            )
        self.table = self.add_weight(
            name="rows", shape=(3, self.width), initializer=self.embeddings_initializer
        )

    def call(self, tokens):
        symbol = ops.cast(tokens, "int32")[:, None, :, BYTES.start]
        own = ops.reshape(ops.arange(1, self.fields + 1, dtype="int32"), (1, -1, 1))
        row = ops.where(symbol == own, 1, ops.where(symbol > 0, 2, 0))
        rows = ops.take(ops.cast(self.table, self.compute_dtype), row, axis=0)
        return ops.reshape(rows, (-1, self.fields * tokens.shape[1], self.width))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.fields * input_shape[1], self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "fields": self.fields,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
