"""Defines `SlotEmbedding`: the embedding of tokens with learned slots before them."""

import keras
from keras import ops

from mdnn.layers import ModalityEmbedding
from mdnn.layers.decoding_steps import column
from mdnn.layers.table_lookup import dense_gradient
from mdnn.tokens.context_slots import SLOT


@keras.saving.register_keras_serializable(package="mdnn")
class SlotEmbedding(ModalityEmbedding):
    """Embeds tokens, and slots at a context's start as learned vectors.

    Args:
        width: int, channels of a position's vector.
        slots: int from 1, number of slots.
        **kwargs: Arguments of `mdnn.layers.ModalityEmbedding`.

    Input shape:
        int tensor of tokens `[batch, positions, 8]`, slots as
        `mdnn.tokens.context_slots.slot_tokens` makes them.

    Output shape:
        `[batch, positions, width]`, in the layer's compute dtype.
    """

    def __init__(self, width, slots, **kwargs):
        super().__init__(width, **kwargs)
        self.slots = int(slots)

    def build(self, input_shape):
        super().build(input_shape)
        self.slot_vectors = self._table("slots", self.slots)

    def call(self, tokens):
        return with_slots(super().call(tokens), tokens, self.slot_vectors)

    def get_config(self):
        return {**super().get_config(), "slots": self.slots}


def with_slots(x, tokens, vectors):
    """Returns embedded tokens with learned vectors at the positions of slots.

    Args:
        x: `[batch, positions, width]`, the other embeddings.
        tokens: int tensor `[batch, positions, 8]`.
        vectors: `[slots, width]`, or `[batch, slots, width]` for vectors of each context.
    """
    kind, number = (ops.cast(column(tokens, name), "int32") for name in ("modality", "byte_1"))
    vectors = dense_gradient(ops.cast(ops.convert_to_tensor(vectors), x.dtype))
    # Bytes of other tokens may be larger than the number of slots.
    number = ops.minimum(number, vectors.shape[-2] - 1)
    if len(vectors.shape) == 2:
        rows = ops.take(vectors, number, axis=0)
    else:
        rows = ops.take_along_axis(vectors, number[..., None], axis=1)
    return ops.where((kind == SLOT)[..., None], rows, x)
