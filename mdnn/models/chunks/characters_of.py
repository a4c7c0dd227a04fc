"""Reads characters out of tokens inside a network: code points, and which of them are letters."""

import functools

import numpy as np
from keras import ops

from mdnn.tokens.modalities import modality

SPACE, ANY_LETTER = 32, 97
"""The code points that stand for padding and for a whole word."""

LETTERS = ((39, 39), (48, 57), (65, 90), (97, 122))
"""First and last code points of ASCII's letters, digits and apostrophe."""

OTHERS = (
    (0x00D7, 0x00D7),
    (0x00F7, 0x00F7),
    (0x2000, 0x2018),
    (0x201A, 0x206F),
    (0x20A0, 0x20CF),
    (0x2190, 0x2BFF),
    (0x3000, 0x3004),
    (0x3008, 0x3030),
    (0xFE30, 0xFE6F),
    (0xFF00, 0xFF0F),
    (0xFF1A, 0xFF20),
)
"""First and last code points of ranges above U+00BF that are spaces, punctuation and symbols."""

MAX_LISTED = OTHERS[-1][1] + 1
"""A code point from which on all are letters."""


def code_points(tokens):
    """Returns the code point of each token, int32 `[...]`.

    Args:
        tokens: int32 `[..., 8]`, or `[..., 4]` (modality and bytes). A word counts as a letter, any
            other token that is not text as a space.
    """
    kind, high, middle, low = (tokens[..., k] for k in range(4))
    code = high * 65536 + middle * 256 + low
    other = ops.where(ops.equal(kind, modality("word").index), ANY_LETTER, SPACE)
    return ops.cast(ops.where(ops.equal(kind, modality("text").index), code, other), "int32")


def is_letter(code):
    """Returns whether code points belong to words: letters, digits and apostrophes.

    ASCII is classified exactly; from U+00C0 on every code point is a letter, except `OTHERS`.

    Args:
        code: int32 `[...]`.

    Returns:
        bool `[...]`.
    """
    # One look-up: 40 comparisons of some thousand numbers take longer than mixing them.
    return ops.take(_letters(), ops.clip(code, 0, MAX_LISTED), axis=0)


@functools.cache
def _letters():
    """Returns a table of code points, boolean numpy `[MAX_LISTED + 1]`: which are letters."""
    table = np.arange(MAX_LISTED + 1) >= 0x00C0
    for first, last in (*LETTERS, *OTHERS):
        table[first : last + 1] = (first, last) in LETTERS
    return table


def marks_of(network, tokens):
    """Returns the code points of tokens for a network's blocks that cut texts.

    Args:
        network: `mdnn.models.network.Network`.
        tokens: int32 `[batch, positions, 8]`; `[batch, n, 8]` for a result `[batch, n]`.

    Returns:
        int32 `[batch, *grid]`; `None` if no block cuts texts.
    """
    if not any(getattr(block, "takes_marks", False) for block in network.blocks):
        return None
    codes = code_points(tokens)
    whole = tokens.shape[1] == network.positions
    return ops.reshape(codes, (-1, *network.grid)) if whole else codes
