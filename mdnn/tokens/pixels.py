"""Pictures and films as units: one pixel each, red, green and blue or one grey value."""

import numpy as np

from mdnn.tokens import features as table
from mdnn.tokens.token_rows import arrangement, check_bytes, new_rows

KINDS = ("image", "grey", "video", "grey_video")
"""The modalities whose units are pixels."""


def pixel_tokens(pixels, kind, number=0):
    """Returns the token rows of a picture or film, in row-major order.

    Args:
        pixels: uint8, as `mdnn.tokens.items.Item` has it for the kind: image
            `[height, width, 3]`, grey `[height, width]`, video `[frames, height, width, 3]`,
            grey_video `[frames, height, width]`.
        kind: String, one of `KINDS`.
        number: Integer, the column `item`.

    Returns:
        int32 `[pixels, 8]`; places are (y, x) or (t, y, x).

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
    """Returns the picture or film of token rows, put together by their places.

    Args:
        rows: Integers `[n, 8]`, all of the modality `kind`, at least one, in any order.
        kind: String, one of `KINDS`.
        called: String, what errors call the item.

    Returns:
        uint8, the array that `pixel_tokens` takes.

    Raises:
        MdnnError: A pixel that is missing or there twice, a byte out of range.
    """
    check_bytes(rows, kind, called)
    order, shape = arrangement(rows, kind, called)
    channels = len(table.modality(kind).bytes)
    values = rows[:, table.BYTES][order, :channels].astype(np.uint8)
    return values.reshape(shape if channels == 1 else (*shape, channels))
