"""Lays items into a context one after another: padding before, the items, an end, padding."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.features import ITEM, MODALITY, WIDTH, modality

_END = modality("end").index


def pack(tokens, length, offset=0):
    """Returns a context that holds one item.

    Args:
        tokens: Integers `[n, columns]`, the item's token rows.
        length: Integer, positions of the context.
        offset: Integer, rows of padding before the item.

    Returns:
        int32 `[length, columns]`; the rows before and after the item are zeros.

    Raises:
        MdnnError: If the item does not fit.

    Example:

    >>> pack(tokenizer.tokens(tokenizer.units("ab")), length=4, offset=1)[:, 3]
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
            f"an item of {len(tokens)} units{before} does not fit a context of {length} positions"
        )
    context = np.zeros((length, tokens.shape[1]), dtype=np.int32)
    context[offset : offset + len(tokens)] = tokens
    return context


def aligned(position, multiple):
    """Returns the first position from `position` on that is a multiple of `multiple`.

    Args:
        position: integer, or an array or tensor of integers.
        multiple: integer, `context.pad_to_multiple_of`.
    """
    return -(-position // multiple) * multiple


def pack_items(rows, length, offset=0, align=1, cut=False, names=None):
    """Returns a context that holds items one after another, an `end` behind the last.

    Args:
        rows: List of integers `[n, 8]`, the token rows of each item; an item may be empty.
        length: Integer, positions of the context.
        offset: Integer, rows of padding before the first item, a multiple of `align`.
        align: Integer; every item begins at a multiple of so many positions, with padding between.
            The `end` follows the last item at once.
        cut: Boolean; whether what does not fit is left out (of the last items, and the `end`).
        names: List of strings, what errors call the items; `None` for their numbers.

    Returns:
        `(context, spans)`: int32 `[length, 8]`, the column `item` counting the items from 0, the
        `end` with the modality of the unit before it as its first byte (none: 0); and a list of
        `(start, stop)`, the positions of each item, the `end` not among them.

    Raises:
        MdnnError: If an item, or the `end`, does not fit and `cut` is not set.

    Example:

    >>> cat, dog = (tokenizer.tokens(tokenizer.units(text)) for text in ("cat", "dog"))
    >>> context, spans = pack_items([cat, dog], length=9, align=4)
    >>> context[:, 0], spans
    (array([1, 1, 1, 0, 1, 1, 1, 9, 0], dtype=int32), [(0, 3), (4, 7)])
    """
    if not len(rows):
        raise MdnnError("a context needs at least one item; received none")
    if align < 1:
        raise MdnnError(f"align must be at least 1; received {align}")
    if offset < 0 or offset % align:
        raise MdnnError(f"offset must be a multiple of align = {align}; received {offset}")
    context = np.zeros((length, WIDTH), dtype=np.int32)
    spans, stop = [], offset
    for number, item in enumerate(rows):
        item = np.asarray(item)
        if item.ndim != 2 or item.shape[1] != WIDTH:
            called = _called(names, number, rows)
            raise MdnnError(f"{called}: expected token rows [n, {WIDTH}]; received {item.shape}")
        start = aligned(stop, align)
        stop = start + len(item)
        last = number == len(rows) - 1
        if stop + last > length and not cut:
            raise MdnnError(
                f"{_called(names, number, rows)}: {len(item)} units from position {start} on"
                f"{' and the end behind them' if last else ''} do not fit a context of "
                f"{length} positions"
            )
        start, stop = min(start, length), min(stop, length)
        context[start:stop] = item[: stop - start]
        context[start:stop, ITEM] = number
        spans.append((start, stop))
        if last and stop < length:
            context[stop, MODALITY] = _END
            context[stop, MODALITY + 1] = item[-1, MODALITY] if len(item) else 0
    return context, spans


def _called(names, number, rows):
    """Returns what an error calls an item."""
    name = names[number] if names is not None else ""
    return name or f"item {number + 1} of {len(rows)}"


def unpack(context):
    """Returns the rows of a context that are not padding, int32 `[n, columns]`, in order."""
    context = np.asarray(context)
    return context[context[:, 0] != 0]


def random_runs(bits, length, shortest):
    """Returns random runs within contexts: how much of each is filled, and from where.

    Args:
        bits: uint64 `[batch, 2]`, random bits: all the randomness that is used.
        length: Integer, positions of the context.
        shortest: Integer, the shortest run, 1 to `length`.

    Returns:
        `(run, offset)`, int64 `[batch]` each: positions that are filled, uniform from `shortest`
        to `length`, and positions of padding before them, uniform over all that fit.
    """
    run = shortest + (bits[:, 0] % np.uint64(length - shortest + 1)).astype(np.int64)
    offset = (bits[:, 1] % (length - run + 1).astype(np.uint64)).astype(np.int64)
    return run, offset
