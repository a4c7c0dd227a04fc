"""Tokenizes sounds: one token per 16-bit sample, with its high and low byte."""

import numpy as np

from mdnn.tokens import features as table
from mdnn.tokens.token_rows import check_bytes, new_rows

ZERO = 32768
"""Offset from int16 samples to unsigned 16-bit values; silence is 32,768."""


def sample_tokens(samples, number=0):
    """Converts a sound to tokens.

    Args:
        samples: int16 `[samples]`.
        number: Integer, the column `item`.

    Returns:
        int32 `[samples, 8]`; the coordinate is the sample's index.

    Example:

    >>> sample_tokens(np.array([0, -1], np.int16))[:, :3]
    array([[  7, 128,   0],
           [  7, 127, 255]], dtype=int32)
    """
    rows = new_rows("audio", samples.shape, number)
    unsigned = samples.astype(np.int32) + ZERO
    rows[:, table.BYTES][:, 0] = unsigned >> 8
    rows[:, table.BYTES][:, 1] = unsigned & 255
    return rows


def samples_from_tokens(rows, called="the item"):
    """Converts tokens to samples, in the order of the tokens.

    Args:
        rows: Integers `[n, 8]`, all of the modality `audio`.
        called: String, the label in error messages.

    Returns:
        int16 `[n]`.

    Raises:
        MdnnError: If a byte is out of range.
    """
    check_bytes(rows, "audio", called)
    high, low = rows[:, table.BYTES][:, :2].T
    return ((high << 8) + low - ZERO).astype(np.int16)
