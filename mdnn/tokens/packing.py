"""Packs the tokens of items into a context: padding, items, end token, padding."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.features import ITEM, MODALITY, NUM_FEATURES
from mdnn.tokens.modalities import modality

_END = modality("end").index


def pack(tokens, length, offset=0):
    """Packs one item into a context.

    Args:
        tokens: ints `[n, columns]`, the item's tokens.
        length: int, positions of the context.
        offset: int, positions of padding before the item.

    Returns:
        int32 `[length, columns]`; positions before and after the item are zeros.

    Raises:
        MdnnError: the item does not fit.

    Example:

    >>> pack(tokenizer.tokens(tokenizer.ids("ab")), length=4, offset=1)[:, 3]
    array([ 0, 97, 98,  0], dtype=int32)
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2:
        raise MdnnError(f"expected tokens [n, columns]; received shape {tokens.shape}")
    if offset < 0:
        raise MdnnError(f"offset must not be negative; received {offset}")
    if offset + len(tokens) > length:
        before = f" after {offset} of padding" if offset else ""
        raise MdnnError(
            f"an item of {len(tokens)} tokens{before} does not fit a context of {length} positions"
        )
    context = np.zeros((length, tokens.shape[1]), dtype=np.int32)
    context[offset : offset + len(tokens)] = tokens
    return context


def aligned(position, multiple):
    """Rounds a position up to a multiple.

    Args:
        position: int, or an array or tensor of integers.
        multiple: int, `context.pad_to_multiple_of`.
    """
    return -(-position // multiple) * multiple


def pack_items(rows, length, offset=0, align=1, truncate=False, names=None):
    """Packs items and an end token into a context.

    Args:
        rows: list of ints `[n, 8]`, the tokens of each item; an item may be empty.
        length: int, positions of the context.
        offset: int, positions of padding before the first item, a multiple of `align`.
        align: int; every item starts at a multiple of `align`, with padding between items. The
            end token follows the last item without padding.
        truncate: bool; `True` drops tokens that do not fit instead of raising an error.
        names: list of strings, the items' labels in error messages; `None` for their numbers.

    Returns:
        `(context, spans)`: int32 `[length, 8]`, with item numbers from 0 in the column `item` and
        the modality of the preceding token (none: 0) in `byte_1` of the end token; and a list of
        `(start, stop)`, the positions of each item without the end token.

    Raises:
        MdnnError: an item or the end token does not fit and `truncate` is `False`.

    Example:

    >>> cat, dog = (tokenizer.tokens(tokenizer.ids(text)) for text in ("cat", "dog"))
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
    context = np.zeros((length, NUM_FEATURES), dtype=np.int32)
    spans, stop = [], offset
    for number, item in enumerate(rows):
        item = np.asarray(item)
        if item.ndim != 2 or item.shape[1] != NUM_FEATURES:
            called = _called(names, number, rows)
            raise MdnnError(f"{called}: expected tokens [n, {NUM_FEATURES}]; received {item.shape}")
        start = aligned(stop, align)
        stop = start + len(item)
        last = number == len(rows) - 1
        if stop + last > length and not truncate:
            raise MdnnError(
                f"{_called(names, number, rows)}: {len(item)} tokens from position {start} on"
                f"{' and the end token' if last else ''} do not fit a context of "
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
    """Returns an item's label for error messages."""
    name = names[number] if names is not None else ""
    return name or f"item {number + 1} of {len(rows)}"


def unpack(context):
    """Returns the tokens of a context without padding, int32 `[n, columns]`, in order."""
    context = np.asarray(context)
    return context[context[:, 0] != 0]


def random_runs(bits, length, shortest):
    """Draws the length and the start of the filled span of each context.

    Args:
        bits: uint64 `[batch, 2]`, random bits, the only source of randomness.
        length: int, positions of the context.
        shortest: int, the minimum number of filled positions, 1 to `length`.

    Returns:
        `(run, offset)`, int64 `[batch]` each: the number of filled positions, uniform from
        `shortest` to `length`, and of padding before them, uniform over all offsets that fit.
    """
    run = shortest + (bits[:, 0] % np.uint64(length - shortest + 1)).astype(np.int64)
    offset = (bits[:, 1] % (length - run + 1).astype(np.uint64)).astype(np.int64)
    return run, offset
