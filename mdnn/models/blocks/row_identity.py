"""Identities of single rows of a batch: numbers that differ from context to context."""

from keras import ops

from mdnn.models.slot_embedding import with_slots

EMBEDDING = "embedding"
"""Name of the layer of a network whose entry of an identity holds the learned slots."""


def shifted(x, options, block):
    """Adds the offset of each context's identity to the outputs of a block's first dense layer.

    Args:
        x: `[batch, ..., channels]`.
        options: `mdnn.models.call_options.CallOptions` or `None`.
        block: str, the block's name.
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
