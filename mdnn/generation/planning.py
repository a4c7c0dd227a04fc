"""Plans the positions of answers in a context.

All functions accept Python integers, NumPy arrays and TensorFlow tensors, so that `mdnn.generate`
and the SavedModel share the same rules.
"""

import math

from mdnn.tokens.modalities import modality
from mdnn.tokens.packing import aligned

MAX_INT32 = 2**31 - 1
"""Represents an unlimited size."""


def answer_start(stop, multiple):
    """Returns the first position of the answer that follows the items before `stop`.

    The result is at least 1, because the prediction of a token needs a position before it.

    Args:
        stop: position after the last item, 0 without items.
        multiple: int, `context.pad_to_multiple_of`.
    """
    return aligned(_larger(stop, 1), multiple)


def max_open_tokens(room, longest):
    """Returns the maximum number of tokens of an answer whose end the network chooses.

    Args:
        room: number of free positions in the context.
        longest: maximum number of tokens of the kind of item, such as in the training data.
    """
    return _larger(_smaller(room, longest), 1)


def num_masked(count, room):
    """Returns the number of masked positions for an answer of `count` tokens.

    The result includes one position for the [EOS] if there is room.

    Args:
        count: number of tokens of the answer.
        room: number of free positions in the context.
    """
    return _smaller(count + 1, room)


def coordinate_strides(shape):
    """Returns the strides that map the index of a token in an item to its coordinates.

    Args:
        shape: tuple of int, sizes of the item, slowest axis first; the size of a text or sound is
            ignored.

    Returns:
        Tuples `steps` and `sizes` of three entries each: token i has coordinates
        `i // steps % sizes`.

    Example:

    >>> coordinate_strides((4, 8))
    ((8, 1, 1), (2147483647, 8, 1))
    """
    missing = (1,) * (3 - len(shape))
    steps = tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))
    return steps + missing, (MAX_INT32, *shape[1:], *missing)


def modalities_of(kind, modalities):
    """Returns the names among `modalities` of the tokens that an item of a kind may contain."""
    return tuple(name for name in modalities if modality(name).kind == kind)


def _larger(a, b):
    # Computed with `abs`, which works for integers, arrays and tensors.
    return (a + b + abs(a - b)) // 2


def _smaller(a, b):
    return (a + b - abs(a - b)) // 2
