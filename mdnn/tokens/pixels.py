"""Tokenizes pictures and films: one token per pixel, with RGB or grey values as bytes."""

import numpy as np

from mdnn.tokens import features as table
from mdnn.tokens.token_rows import arrangement, check_bytes, new_rows

KINDS = ("image", "grey", "video", "grey_video")
"""Modalities with one token per pixel."""


def pixel_tokens(pixels, kind, number=0):
    """Converts a picture or film to tokens in row-major order.

    Args:
        pixels: uint8: image `[height, width, 3]`, grey `[height, width]`, video
            `[frames, height, width, 3]`, grey_video `[frames, height, width]`.
        kind: String, one of `KINDS`.
        number: Integer, the column `item`.

    Returns:
        int32 `[pixels, 8]`; coordinates are (y, x) or (t, y, x).

    Example:

    >>> pixel_tokens(np.array([[7, 8]], np.uint8), "grey")[:, [0, 1, 4, 5]]
    array([[4, 7, 0, 0],
           [4, 8, 0, 1]], dtype=int32)
    """
    modality = table.modality(kind)
    rows = new_rows(kind, pixels.shape[: modality.places], number)
    channels = len(modality.bytes)
    rows[:, table.BYTES][:, :channels] = pixels.reshape(-1, channels)
    return rows


def pixels_from_tokens(rows, kind, called="the item"):
    """Assembles a picture or film from tokens by their coordinates.

    Args:
        rows: Integers `[n, 8]`, at least one token, all of the modality `kind`, in any order.
        kind: String, one of `KINDS`.
        called: String, the label in error messages.

    Returns:
        uint8, shaped as `pixels` of `pixel_tokens`.

    Raises:
        MdnnError: If a pixel is missing or repeated, or a byte is out of range.
    """
    check_bytes(rows, kind, called)
    order, shape = arrangement(rows, kind, called)
    channels = len(table.modality(kind).bytes)
    values = rows[:, table.BYTES][order, :channels].astype(np.uint8)
    return values.reshape(shape if channels == 1 else (*shape, channels))
