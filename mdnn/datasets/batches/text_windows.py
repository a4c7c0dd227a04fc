"""Cuts a text into windows for evaluation."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.context_slots import behind_slots


def windows(ids, tokenizer, length, stride=None, batch_size=64, slots=0):
    """Yields evaluation windows in which every token but the first is counted exactly once.

    With `stride == length` (the default) windows do not overlap and every position counts, the
    convention of nanoGPT. With a smaller stride windows overlap and only the last `stride`
    positions of each count (in the first window all), so that counted tokens, except those of the
    first window, have at least `length - stride` tokens of context.

    Args:
        ids: ints `[n]`, the text's token ids, at least two.
        tokenizer: the text's tokenizer.
        length: int, positions of a window.
        stride: int from 1 to `length`, tokens between the starts of windows.
        batch_size: int, windows per batch. The last batch is filled with windows of zeros.
        slots: int, number of learned slots before each window, positions in addition to
            `length`.

    Yields:
        Dictionaries: `"tokens"` and `"targets"` int32 `[batch, slots + length, 8]`, `"counted"`
        boolean `[batch, slots + length]`. The end of the last window may be padding, which is not
        counted.

    Raises:
        MdnnError: the text is too short or an argument is out of range.
    """
    ids = np.asarray(ids)
    stride = length if stride is None else stride
    if length < 1 or batch_size < 1:
        raise MdnnError(
            f"length and batch_size must be at least 1; received {length} and {batch_size}"
        )
    if not 1 <= stride <= length:
        raise MdnnError(
            f"stride must be from 1 to the window's {length} positions; received {stride}"
        )
    if ids.ndim != 1 or len(ids) < 2:
        raise MdnnError(f"evaluation needs a text of at least 2 tokens; received {ids.shape}")
    return _windows(ids, tokenizer, length, stride, batch_size, slots)


def _windows(ids, tokenizer, length, stride, batch_size, slots):
    """Yields the windows; a separate generator, so that `windows` validates when called."""
    position = np.arange(length)
    beyond = max(0, len(ids) - 1 - length)
    number = 1 + -(-beyond // stride)
    for first in range(0, number, batch_size):
        window = np.arange(first, first + batch_size)[:, None]
        index = window * stride + position
        # A position is filled if its token has a successor.
        filled = (window < number) & (index < len(ids) - 1)
        tokens = tokenizer.tokens(np.where(filled, ids.take(index, mode="clip"), -1))
        targets = tokenizer.tokens(np.where(filled, ids.take(index + 1, mode="clip"), -1), 0, 1)
        counted = filled & ((position >= length - stride) | (window == 0))
        yield {
            "tokens": behind_slots(tokens, slots),
            "targets": behind_slots(targets, slots, targets=True),
            "counted": np.pad(counted, [(0, 0), (slots, 0)]),
        }
