"""Reads characters out of tokens inside a network: code points, and which of them are letters."""

from keras import ops

from mdnn.tokens.modalities import modality

SPACE, ANY_LETTER = 32, 97
"""The code points that stand for padding and for a whole word."""

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


def code_points(tokens):
    """Returns the code point of each token, int32 `[...]`.

    Args:
        tokens: int32 `[..., 8]`, or `[..., 4]` (modality and bytes). A word counts as a letter, any
            other token that is no text as a space.
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
        Boolean `[...]`.
    """

    def between(first, last):
        return ops.logical_and(code >= first, code <= last)

    letter = ops.logical_or(between(97, 122), between(65, 90))
    letter = ops.logical_or(letter, ops.logical_or(between(48, 57), ops.equal(code, 39)))
    above = code >= 0x00C0
    for first, last in OTHERS:
        above = ops.logical_and(above, ops.logical_not(between(first, last)))
    return ops.logical_or(letter, above)


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
