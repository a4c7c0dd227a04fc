"""Defines `FieldEmbedding`: one vector per position and candidate symbol of a puzzle."""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer, get_initializer
from mdnn.tokens.features import BYTES, NUM_FEATURES


@keras.saving.register_keras_serializable(package="mdnn")
class FieldEmbedding(RuledLayer):
    """Embeds each candidate symbol of each position of a puzzle ("field").

    Field `f` of a position takes one of three vectors: the position is unknown (symbol 0), it
    holds symbol `f + 1`, or it holds another symbol. All fields share the three vectors, so the
    layer is equivariant to permutations of the symbols.

    Args:
        width: int, channels of a field's vector.
        fields: int, number of candidate symbols per position.
        embeddings_initializer: initializer of the three vectors.

    Input shape:
        int tensor `[batch, positions, 8]`, tokens of the modality `symbol`.

    Output shape:
        `[batch, fields * positions, width]`, positions fastest, in the layer's compute dtype.

    Raises:
        ValueError: the last axis of the input does not have size 8.
    """

    def __init__(self, width, fields, embeddings_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.width, self.fields = int(width), int(fields)
        self.embeddings_initializer = get_initializer(
            embeddings_initializer or get_initializer("random_normal", stddev=1.0)
        )
        self.supports_masking = False

    def build(self, input_shape):
        if input_shape[-1] != NUM_FEATURES:
            raise ValueError(
                f"{self.name}: expected tokens [batch, positions, {NUM_FEATURES}], "
                f"received shape {tuple(input_shape)}"
            )
        self.table = self.add_weight(
            name="rows", shape=(3, self.width), initializer=self.embeddings_initializer
        )

    def call(self, tokens):
        symbol = ops.cast(tokens, "int32")[:, None, :, BYTES.start]
        candidate = ops.reshape(ops.arange(1, self.fields + 1, dtype="int32"), (1, -1, 1))
        index = ops.where(symbol == candidate, 1, ops.where(symbol > 0, 2, 0))
        vectors = ops.take(ops.cast(self.table, self.compute_dtype), index, axis=0)
        return ops.reshape(vectors, (-1, self.fields * tokens.shape[1], self.width))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.fields * input_shape[1], self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "fields": self.fields,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
