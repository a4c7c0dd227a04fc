"""What identities add inside a network: learned slots, and numbers of single rows of a batch."""

import keras
from keras import ops

from mdnn.layers import ModalityEmbedding
from mdnn.layers.decoding_steps import column
from mdnn.layers.table_lookup import dense_gradient
from mdnn.tokens.context_slots import SLOT

EMBEDDING = "embedding"
"""Name of the layer of a network whose entry of an identity holds the learned slots."""


@keras.saving.register_keras_serializable(package="mdnn")
class SlotEmbedding(ModalityEmbedding):
    """Embeds tokens, and slots at a context's start as learned vectors.

    Args:
        width: Integer, channels of a position's vector.
        slots: Integer from 1, number of slots.
        **kwargs: Arguments of `mdnn.layers.ModalityEmbedding`.

    Input shape:
        Integer tensor of tokens `[batch, positions, 8]`, slots as
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
        tokens: Integer tensor `[batch, positions, 8]`.
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


def shifted(x, options, block):
    """Adds the offset of each context's identity to the outputs of a block's first dense layer.

    Args:
        x: `[batch, ..., channels]`.
        options: `mdnn.models.call_options.CallOptions` or `None`.
        block: string, the block's name.
    """
    numbers = _numbers(options, block)
    return x if numbers is None else x + _beside(numbers["offset"], x)


def scaled(x, options, block):
    """Multiplies the inputs of a block's last dense layer by the gain of each context's identity.

    Args:
        x, options, block: see `shifted`.
    """
    numbers = _numbers(options, block)
    return x if numbers is None else x * _beside(numbers["gain"], x)


def slotted(x, tokens, options):
    """Puts the learned slots of each context's identity into embedded tokens.

    Args:
        x: `[batch, n, channels]`.
        tokens: int32 `[batch, n, 8]`.
        options: see `shifted`.
    """
    numbers = _numbers(options, EMBEDDING)
    return x if numbers is None else with_slots(x, tokens, numbers["slots"])


def _numbers(options, block):
    identity = None if options is None else options.identity
    return None if identity is None else identity.get(block)


def _beside(values, x):
    """Reshapes `[batch, channels]` so that it broadcasts to `x`."""
    shape = (-1, *[1] * (len(x.shape) - 2), x.shape[-1])
    return ops.cast(ops.reshape(values, shape), x.dtype)
