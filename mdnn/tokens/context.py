"""Lays items into a context: padding before, the item's rows, padding after."""

import numpy as np

from mdnn.errors import MdnnError


def pack(tokens, length, offset=0):
    """Returns a context that holds one item.

    Args:
        tokens: Integers `[n, columns]`, the item's token rows.
        length: Integer, slots of the context.
        offset: Integer, rows of padding before the item.

    Returns:
        int32 `[length, columns]`; the rows before and after the item are zeros.

    Raises:
        MdnnError: If the item does not fit.

    Example:

    >>> pack(codec.tokens(codec.units("ab")), length=4, offset=1)[:, 3]
    array([ 0, 97, 98,  0], dtype=int32)
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2:
        raise MdnnError(f"expected token rows [n, columns]; received shape {tokens.shape}")
    if offset < 0:
        raise MdnnError(f"offset must not be negative; received {offset}")
    if offset + len(tokens) > length:
        before = f" after {offset} of padding" if offset else ""
        raise MdnnError(
            f"an item of {len(tokens)} units{before} does not fit a context of {length} slots"
        )
    context = np.zeros((length, tokens.shape[1]), dtype=np.int32)
    context[offset : offset + len(tokens)] = tokens
    return context


def unpack(context):
    """Returns the rows of a context that are not padding, int32 `[n, columns]`, in order."""
    context = np.asarray(context)
    return context[context[:, 0] != 0]


def random_runs(bits, length, shortest):
    """Returns random runs within contexts: how much of each is filled, and from where.

    Args:
        bits: uint64 `[batch, 2]`, random bits: all the randomness that is used.
        length: Integer, slots of the context.
        shortest: Integer, the shortest run, 1 to `length`.

    Returns:
        `(run, offset)`, int64 `[batch]` each: slots that are filled, uniform from `shortest`
        to `length`, and slots of padding before them, uniform over all that fit.
    """
    run = shortest + (bits[:, 0] % np.uint64(length - shortest + 1)).astype(np.int64)
    offset = (bits[:, 1] % (length - run + 1).astype(np.uint64)).astype(np.int64)
    return run, offset
