"""Decodes JPEG pictures, and checks files of every picture format.

The header is checked before anything is decoded, and the decoder (Pillow) receives only the
segments of the picture itself: no metadata, no color profiles.
"""

import io
import struct

import numpy as np
from PIL import Image

from mdnn.datasets.media.conversion import check_convert
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

MAX_PIXELS = 64_000_000
"""Pixels that a picture, or all frames of a film, may have."""

PNG = b"\x89PNG\r\n\x1a\n"
"""What a PNG file begins with."""

JPEG = b"\xff\xd8"
"""What a JPEG file begins with."""


def decode_jpeg(data, name="a JPEG", convert=False):
    """Returns the picture in the bytes of a JPEG file, as it is stored (no turning by EXIF).

    Args:
        data: Bytes.
        name: str, the item's name, which error messages show.
        convert: bool, whether a picture of four inks (CMYK) becomes RGB.

    Returns:
        An `Item` of kind image or grey.

    Raises:
        MdnnError: bytes that are not a JPEG, a depth other than 8 bits, another number of colors
            than 1 or 3 (with `convert` 4), more than `MAX_PIXELS` pixels, a file that is
            truncated or damaged.
    """
    if not data.startswith(JPEG):
        raise MdnnError(f"{name}: expected a JPEG file, received {signature(data)}")
    kept, frame, at = [JPEG], None, 2
    while True:
        head = data[at : at + 4]
        if head[:2] == b"\xff\xff":  # a marker may be filled up
            at += 1
            continue
        length = int.from_bytes(head[2:], "big")
        segment = data[at : at + 2 + length]
        if head[:1] not in (b"\xff", b""):
            raise MdnnError(f"{name}: a damaged JPEG: no marker at byte {at}")
        if len(head) < 4 or len(segment) < 2 + length:
            raise MdnnError(f"{name}: a truncated JPEG: it ends in its header")
        if length < 2:
            raise MdnnError(f"{name}: a damaged JPEG: a segment of {length} bytes at byte {at}")
        code = head[1]
        # SOF0 to SOF15, without the tables DHT, JPG and DAC
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            if frame or length < 8:
                raise MdnnError(f"{name}: a damaged JPEG: its frame header")
            frame = struct.unpack(">BHHB", segment[4:10])
            _check_jpeg(*frame, name, convert)
        if code == 0xDA:
            break
        # applications' own segments and comments are left out, but for JFIF's and Adobe's,
        # which say what the colors are
        if not (0xE1 <= code <= 0xEF and code != 0xEE) and code != 0xFE:
            kept.append(segment)
        at += 2 + length
    if not frame:
        raise MdnnError(f"{name}: a damaged JPEG: no frame header")
    # a decoder fills up what is missing: the end must be there
    if data.rfind(b"\xff\xd9") < at:
        raise MdnnError(f"{name}: a truncated JPEG: its end marker is missing")
    _, height, width, colours = frame
    picture = decode(b"".join([*kept, data[at:]]), "JPEG", name)
    kind, shape = ("grey", (height, width)) if colours == 1 else ("image", (height, width, 3))
    if picture.shape != shape:
        raise MdnnError(f"{name}: expected {shape} from its header, received {picture.shape}")
    return Item(kind, picture, name=name)


def check_pixels(pixels, what, name):
    """Refuses pictures with more than `MAX_PIXELS` pixels.

    Args:
        pixels: int, their number.
        what: str, the size as errors show it.
        name: str, the file, for errors.

    Raises:
        MdnnError: naming the file and both numbers.
    """
    if pixels > MAX_PIXELS:
        raise MdnnError(f"{name}: at most {MAX_PIXELS:,} pixels are read, received {what}")


def decode(data, form, name):
    """Returns the pixels of a file whose header has been checked.

    Args:
        data: Bytes.
        form: str, `"PNG"` or `"JPEG"`.
        name: str, the file's label in error messages.

    Returns:
        uint8 `[height, width]` or `[height, width, 3]`.

    Raises:
        MdnnError: the decoder cannot read it.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[form]) as picture:
            return np.array(picture.convert("RGB") if picture.mode == "CMYK" else picture)
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise MdnnError(f"{name}: a truncated or damaged {form}: {error}") from None


def signature(data):
    """Returns the format that the first bytes of a file indicate, in words."""
    if data.startswith(PNG):
        return "a PNG file"
    if data.startswith(JPEG):
        return "a JPEG file"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "a GIF file"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "a WebP file"
    if data.startswith(b"RIFF"):
        return "a RIFF file (WAV)"
    return f"{len(data)} bytes beginning with {bytes(data[:8])!r}" if data else "an empty file"


def _check_jpeg(depth, height, width, colours, name, convert):
    received = (
        f"expected a JPEG of 8 bits and 1 or 3 colors, received {depth} bits and {colours} colors"
    )
    if depth == 8 and colours == 4:
        check_convert(convert, name, f"{received} (CMYK)", "turns them into RGB")
    elif depth != 8 or colours not in (1, 3):
        raise MdnnError(f"{name}: {received}")
    if not width or not height:
        raise MdnnError(f"{name}: a JPEG without pixels: {width} x {height}")
    check_pixels(width * height, f"{width} x {height}", name)
