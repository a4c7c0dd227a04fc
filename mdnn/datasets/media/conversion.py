"""Conversion of pictures and sounds to the 8-bit pixels and 16-bit samples of items.

What loses nothing is converted without a word; what would lose something needs `convert`.
"""

import numpy as np

from mdnn.errors import MdnnError

# Weights of red, green and blue in the grey of a color (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])


def check_convert(convert, name, received, action):
    """Refuses a lossy conversion, unless it is requested.

    Args:
        convert: bool, whether it is asked for.
        name: str, the file's label in error messages.
        received: str, what would be lost, such as "3 of 64 pixels are transparent".
        action: str, what the conversion does, such as "lays it over white".

    Raises:
        MdnnError: `convert` is false. The message says how to ask for the conversion.
    """
    if not convert:
        raise MdnnError(
            f"{name}: {received}; data.convert = true (of a prompt --convert, in Python "
            f"convert=True) {action}"
        )


def without_alpha(pixels, alpha, most, name, convert):
    """Returns pixels without their transparency.

    Args:
        pixels: Unsigned integers `[..., height, width, channels]`.
        alpha: ints `[..., height, width]`, from 0 (transparent) to `most` (opaque); `None`:
            all opaque.
        most: int, the highest value of a pixel and of `alpha`.
        name: str, the file's label in error messages.
        convert: bool, whether transparent pixels are laid over white.

    Returns:
        The pixels, of the same shape and dtype.

    Raises:
        MdnnError: a pixel is transparent and `convert` is false.
    """
    if alpha is None or (alpha == most).all():
        return pixels
    count = int((alpha != most).sum())
    check_convert(
        convert, name, f"{count:,} of {alpha.size:,} pixels are transparent", "lays it over white"
    )
    share = alpha[..., None] / most
    return np.rint(pixels * share + most * (1 - share)).astype(pixels.dtype)


def to_8_bit(samples, name, convert):
    """Returns 8-bit pixels for 16-bit ones.

    Nothing is lost where both bytes of each sample are equal (8 bits written as 16 bits) or the
    lower byte is always 0.

    Args:
        samples: uint16 of any shape.
        name: str, the file's label in error messages.
        convert: bool, whether other samples are rounded.

    Returns:
        uint8 of the same shape.

    Raises:
        MdnnError: samples do not fit 8 bits and `convert` is false.
    """
    high, low = samples >> 8, samples & 255
    if (high == low).all() or not low.any():
        return high.astype(np.uint8)
    check_convert(convert, name, "its 16-bit samples do not fit 8 bits", "rounds them to 8 bits")
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_grey(pixels, name, convert):
    """Returns grey pixels `[..., height, width]` for RGB ones `[..., height, width, 3]`.

    Args:
        pixels: uint8 `[..., height, width, 3]`.
        name: str, the file's label in error messages.
        convert: bool, whether colors become grey.

    Raises:
        MdnnError: a pixel has a color and `convert` is false.
    """
    if is_grey(pixels):
        return np.ascontiguousarray(pixels[..., 0])
    check_convert(convert, name, "expected grey, received colors", "makes it grey")
    return np.rint(pixels @ _LUMA).astype(np.uint8)


def is_grey(pixels):
    """Returns whether red, green and blue are equal in all pixels `[..., 3]`."""
    first = pixels[..., :1]
    return bool((pixels == first).all())


def to_mono(samples, name, convert):
    """Returns one channel of samples `[frames, channels]`.

    Args:
        samples: ints or floats `[frames, channels]`.
        name: str, the file's label in error messages.
        convert: bool, whether channels that differ are averaged.

    Returns:
        The samples `[frames]`, of the same dtype; float64 where channels are averaged.

    Raises:
        MdnnError: channels differ and `convert` is false.
    """
    channels = samples.shape[1]
    if channels == 1 or (samples == samples[:, :1]).all():
        return samples[:, 0]
    check_convert(
        convert,
        name,
        f"expected one channel (mono) or equal ones, received {channels} that differ",
        "takes their mean",
    )
    return samples.mean(axis=1, dtype=np.float64)


def to_16_bit(samples, full_scale, name, convert, exact=False):
    """Returns 16-bit samples.

    Args:
        samples: ints or floats `[samples]`.
        full_scale: Number, the amplitude that becomes 32,768.
        name: str, the file's label in error messages.
        convert: bool, whether samples are rounded, and those that are too loud clipped.
        exact: bool, whether rounding is not a loss, as of a format that loses something itself.

    Returns:
        int16 `[samples]`.

    Raises:
        MdnnError: a sample is not finite, or is no 16-bit number and `convert` is false.
    """
    lost = False
    if np.issubdtype(samples.dtype, np.integer):
        # the bits below 16, looked at as whole numbers: floats have 53 bits
        shift = int(full_scale).bit_length() - 16
        if not shift or not (samples & samples.dtype.type((1 << shift) - 1)).any():
            return np.ascontiguousarray(samples >> shift).astype(np.int16)
        lost = True
    values = samples * (32768 / full_scale)
    if not np.isfinite(values).all():
        raise MdnnError(f"{name}: expected finite samples, received NaN or infinity")
    rounded = np.rint(values)
    clipped = np.clip(rounded, -32768, 32767)
    if not exact and (lost or not np.array_equal(clipped, values)):
        check_convert(
            convert, name, "its samples do not fit 16 bits", "rounds and clips them to 16 bits"
        )
    return clipped.astype(np.int16)
