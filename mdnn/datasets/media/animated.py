"""Frames of animated pictures, and pictures of the formats GIF, WebP and BMP; films as GIF."""

import io

import numpy as np
from PIL import GifImagePlugin, Image, features

from mdnn.datasets.media.conversion import is_grey, without_alpha
from mdnn.datasets.media.picture_files import check_pixels, signature
from mdnn.errors import MdnnError
from mdnn.tokens.items import pixel_item
from mdnn.tokens.modalities import modality

FRAME_MILLISECONDS = 100
"""How long a frame of a written film is shown."""

MAX_COLOURS = 256
"""Colors that a GIF holds."""

# An application's block that repeats a film for ever (Netscape).
_REPEAT = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"

_BEGINS = {"GIF": (b"GIF87a", b"GIF89a"), "WEBP": (b"RIFF",), "BMP": (b"BM",)}


def decode_picture(data, form, name, convert=False):
    """Returns the picture or film in the bytes of a GIF, WebP or BMP file.

    Args:
        data: Bytes.
        form: str, `"GIF"`, `"WEBP"` or `"BMP"`.
        name: str, the item's name, which error messages show.
        convert: bool, whether transparent pixels are laid over white.

    Returns:
        An `Item`: of one frame image or grey, of several video or grey_video. It is grey where
        all colors are; a WebP file always gives RGB.

    Raises:
        MdnnError: bytes of another format, more than `mdnn.datasets.media.picture_files.MAX_PIXELS`
            pixels, a truncated or damaged file; without `convert` transparent pixels.
    """
    if not data.startswith(_BEGINS[form]) or (form == "WEBP" and data[8:12] != b"WEBP"):
        raise MdnnError(f"{name}: expected a {form} file, received {signature(data)}")
    if form == "WEBP" and not features.check("webp"):
        raise MdnnError(f"{name}: the installed Pillow cannot read WebP files")
    complete = {
        "GIF": data.rstrip(b"\0").endswith(b";") or _is_whole_gif(data),
        "WEBP": len(data) >= 8 + int.from_bytes(data[4:8], "little"),
        "BMP": True,
    }
    if not complete[form]:
        raise MdnnError(f"{name}: a truncated {form}: it ends at byte {len(data)}")
    pixels = read_frames(data, form, name, convert)
    if form != "WEBP" and is_grey(pixels):
        pixels = pixels[..., :1]
    return pixel_item(pixels[0] if len(pixels) == 1 else pixels, name)


def _is_whole_gif(data):
    """Returns whether a GIF of one picture is complete but for the mark of its end.

    Such files are in use. A film that ends with one of its frames may have had others.
    """
    try:
        at, pictures = 13 + _table_bytes(data[10]), 0
        while at < len(data):
            kind = data[at : at + 1]
            if kind == b",":
                pictures += 1
                at += 11 + _table_bytes(data[at + 9])
            elif kind == b"!" and data[at + 1] != 0xFF:
                at += 2
            else:
                return False
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        return False
    return pictures == 1 and at == len(data)


def _table_bytes(flags):
    """Returns the bytes of the color table that a GIF's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def read_frames(data, form, name, convert, skip=0):
    """Returns the frames of a picture as RGB.

    Args:
        data: Bytes of a file.
        form: str, its format's name in Pillow.
        name: str, the file's label in error messages.
        convert: bool, whether transparent pixels are laid over white.
        skip: int, how many frames at the beginning are left out.

    Returns:
        uint8 `[frames, height, width, 3]`.

    Raises:
        MdnnError: see `decode_picture`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[form]) as picture:
            width, height = picture.size
            check_pixels(width * height, f"{width} x {height}", name)
            count = getattr(picture, "n_frames", 1)
            check_pixels(count * width * height, f"{count} frames of {width} x {height}", name)
            frames = []
            for number in range(count):
                picture.seek(number)
                picture.load()
                if number >= skip:
                    frames.append(np.array(picture.convert("RGBA")))
    except MdnnError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise MdnnError(f"{name}: a truncated or damaged {form}: {error}") from None
    pixels = np.stack(frames)
    return without_alpha(pixels[..., :3], pixels[..., 3], 255, name, convert)


def encode_gif(item, rate=None):
    """Returns the bytes of an animated GIF that holds a film, each frame for a tenth of a second.

    Reading it gives the film again, exactly: equal frames are written one by one, too.

    Args:
        item: An `Item` of a film.
        rate: Without meaning for films.

    Raises:
        MdnnError: a film of one frame, which a GIF holds as a picture; more than `MAX_COLOURS`
            colors.
    """
    name, form = item.name or "a film", modality(item.kind)
    if len(form.coordinates) != 3 or len(item.value) < 2:
        raise MdnnError(f"{name}: a GIF holds films of two frames or more; write a .png")
    if form.is_grey:
        frames = [Image.fromarray(frame) for frame in item.value]
    else:
        frames = _palette_frames(item.value, name)
    parts = [*GifImagePlugin.getheader(frames[0])[0], _REPEAT]
    for frame in frames:
        parts += GifImagePlugin.getdata(frame, duration=FRAME_MILLISECONDS)
    return b"".join([*parts, b";"])


def _palette_frames(pixels, name):
    """Returns RGB frames as pictures of one palette."""
    colours, index = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > MAX_COLOURS:
        raise MdnnError(
            f"{name}: a GIF holds {MAX_COLOURS} colors, received {len(colours)}; write a .png"
        )
    frames = []
    for frame in index.reshape(pixels.shape[:3]).astype(np.uint8):
        picture = Image.fromarray(frame, "P")
        picture.putpalette(np.pad(colours, [(0, MAX_COLOURS - len(colours)), (0, 0)]).tobytes())
        frames.append(picture)
    return frames
