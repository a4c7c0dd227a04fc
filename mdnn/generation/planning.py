"""Plans where answers lie in a context.

All functions take and return integers, be they Python's, numpy's arrays or TensorFlow's tensors:
`mdnn.generate` and the SavedModel follow the same rules.
"""

import math

from mdnn.tokens.packing import aligned

MAX_INT32 = 2**31 - 1
"""Stands for a size without a limit."""


def answer_start(stop, multiple):
    """Returns the first position of an item behind position `stop`.

    No item answers position 0, for the network is given nothing before it.

    Args:
        stop: position behind the last item, 0 for none.
        multiple: int, `context.pad_to_multiple_of`.
    """
    return aligned(_larger(stop, 1), multiple)


def max_open_tokens(room, longest):
    """Returns the most tokens of an answer whose end the network chooses.

    Args:
        room: positions that are left in the context.
        longest: tokens of the longest item of the kind in training.
    """
    return _larger(_smaller(room, longest), 1)


def num_masked(count, room):
    """Returns how many masked positions a context holds for an answer of `count` tokens.

    One more than its tokens where there is room: its [EOS] is decoded, too.
    """
    return _smaller(count + 1, room)


def coordinate_strides(shape):
    """Returns how the coordinates of an item's tokens follow from their numbers.

    Args:
        shape: tuple of the item's sizes, slowest first; of a text or sound only the length of the
            tuple matters, 1.

    Returns:
        Tuples `steps` and `sizes` of three entries each: token i lies at `i // steps % sizes`.

    Example:

    >>> coordinate_strides((4, 8))
    ((8, 1, 1), (2147483647, 8, 1))
    """
    missing = (1,) * (3 - len(shape))
    steps = tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))
    return steps + missing, (MAX_INT32, *shape[1:], *missing)


def modalities_of(kind, modalities):
    """Returns the names among `modalities` that tokens of an item of a kind may have."""
    names = ("text", "word") if kind == "text" else (kind,)
    return tuple(name for name in modalities if name in names)


def _larger(a, b):
    # Written with `abs`, which integers, arrays and tensors all have.
    return (a + b + abs(a - b)) // 2


def _smaller(a, b):
    return (a + b - abs(a - b)) // 2
