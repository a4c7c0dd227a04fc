"""Files and items: texts, pictures, films and sounds in; text, PNG and WAV out."""

import os
import pathlib

import numpy as np

from mdnn.datasets.media.animated import decode_picture
from mdnn.datasets.media.conversion import to_grey
from mdnn.datasets.media.media_writing import item_bytes, write_item
from mdnn.datasets.media.picture_files import check_pixels, decode_jpeg
from mdnn.datasets.media.png_files import decode_png
from mdnn.datasets.media.sound_files import decode_compressed, decode_wav, resample
from mdnn.datasets.media.suffixes import PICTURES
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.text_encodings import decode_text
from mdnn.tokens.items import Item, accepted_item, pixel_item
from mdnn.tokens.modalities import ReadOptions, item_kinds, kinds_of, modality
from mdnn.tokens.modalities.sound_modality import COMPRESSED_SOUNDS

__all__ = [
    "MAX_BYTES",
    "fit_colours",
    "item_bytes",
    "read_item",
    "read_picture",
    "read_sound",
    "read_video",
    "resample",
    "write_item",
]

MAX_BYTES = 1 << 29
"""Bytes that a file may have: larger ones are not read."""

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}


def read_item(path, rate=None, convert=False, encoding="utf-8", kinds=None):
    """Reads an item from a file, whose suffix says how.

    What loses nothing is read as RGB, grey or 16-bit samples; what would lose something
    (transparent pixels, 16-bit samples that do not fit 8 bits, colors where only grey is taken,
    channels of a sound that differ, ...) is refused, or converted where `convert` is true.

    Args:
        path: str or path:

            - `.txt`: a text; a byte order mark is dropped, line ends are kept.
            - `.png`, `.gif`, `.webp`: a picture; if it is animated, a film.
            - `.jpg`, `.jpeg`, `.bmp`: a picture.
            - `.wav`: a sound; `.flac`, `.ogg`, `.oga`, `.opus`, `.mp3`, `.aiff`, `.aif`, `.aifc`,
              `.au` and `.caf`, too, where the package soundfile is installed
              (`pip install 'mdnn[sound]'`).
            - a folder: a film (see `read_video`).
        rate: int, samples per second that a sound is resampled to; `None`: its own.
        convert: bool, whether conversions that lose something are made.
        encoding: str, the encoding of a text as Python names it.
        kinds: Kinds of items that are taken, such as a network's modalities: a grey picture
            becomes RGB where only RGB is taken, and RGB becomes grey where only grey is;
            `None`: all.

    Returns:
        An `Item` whose name is the path.

    Raises:
        MdnnError: the file cannot be read, is of another kind, truncated or too large.
    """
    path = as_path(path)
    options = ReadOptions(rate, convert, encoding, kinds)
    forms = [modality(kind) for kind in item_kinds()]
    for form in forms:
        if path.suffix.lower() in form.read_suffixes:
            return form.read(path, options)
    if path.is_dir():
        return read_film_item(path, options)
    known = ", ".join(dict.fromkeys(suffix for form in forms for suffix in form.read_suffixes))
    raise MdnnError(f"{path}: expected a file {known} or a folder of pictures")


def read_text_item(path, options):
    """Reads a text; see `mdnn.tokens.modalities.ItemModality.read`."""
    data, name = load_file(path, None, "a text")
    return Item("text", decode_text(data, options.encoding, name), name=name)


def read_picture_item(path, options):
    """Reads a picture in the colors that are accepted, or a film if it is animated."""
    return fit_colours(read_picture(path, convert=options.convert), options.kinds, options.convert)


def read_film_item(paths, options):
    """Reads a film in the colors that are accepted, from its pictures or from one file."""
    return fit_colours(read_video(paths, options.convert), options.kinds, options.convert)


def read_sound_item(path, options):
    """Reads a sound at a sample rate, as one of the kind that is accepted."""
    item = read_sound(path, options.rate, convert=options.convert)
    return accepted_item(item, options.kinds)


def fit_colours(item, kinds, convert=False):
    """Returns a picture or film as RGB or grey, whichever of the two is accepted.

    Args:
        item: An `Item`.
        kinds: Kinds of items that are taken; `None`: all.
        convert: bool, whether colors become grey.

    Returns:
        The item, or another one of the kind that is taken; an item of which neither kind is
        taken as it is.

    Raises:
        MdnnError: only grey is taken, a pixel has a color and `convert` is false.
    """
    form = modality(item.kind)
    if (
        kinds is None
        or item.kind in kinds
        or form.key not in [modality(k).key for k in kinds_of(kinds)]
    ):
        return item
    if form.is_grey:
        return pixel_item(np.repeat(item.value[..., None], 3, axis=-1), item.name)
    return pixel_item(to_grey(item.value, item.name, convert)[..., None], item.name)


def read_picture(source, name=None, convert=False):
    """Reads a picture or film from a file, whose suffix says how.

    Args:
        source: a path; or the bytes of a file, with its name.
        name: str, the item's name, which error messages show; `None`: the path.
        convert: bool, whether conversions that lose something are made.

    Returns:
        An `Item` of kind image, grey, video or grey_video.

    Raises:
        MdnnError: see `mdnn.datasets.media.png_files.decode_png`,
            `mdnn.datasets.media.picture_files.decode_jpeg` and
            `mdnn.datasets.media.animated.decode_picture`.
    """
    data, name = load_file(source, name, "a picture")
    form = _FORMATS.get(pathlib.PurePath(name).suffix.lower())
    if form == "PNG":
        return decode_png(data, name, convert)
    if form == "JPEG":
        return decode_jpeg(data, name, convert)
    if form is None:
        raise MdnnError(f"{name}: expected a picture {', '.join(PICTURES)}")
    return decode_picture(data, form, name, convert)


def read_sound(source, rate=None, name=None, convert=False):
    """Reads a sound from a file, whose suffix says how.

    Args:
        source: a path; or the bytes of a file, with its name.
        rate: int, samples per second that it is resampled to; `None`: its own.
        name: str, the item's name, which error messages show; `None`: the path.
        convert: bool, whether conversions that lose something are made.

    Returns:
        An `Item` of kind audio.

    Raises:
        MdnnError: see `mdnn.datasets.media.sound_files.decode_wav` and
            `mdnn.datasets.media.sound_files.decode_compressed`.
    """
    data, name = load_file(source, name, "a sound")
    if name.lower().endswith(COMPRESSED_SOUNDS):
        return decode_compressed(data, rate, name, convert)
    return decode_wav(data, rate, name, convert)


def read_video(paths, convert=False):
    """Reads a film from pictures, or from one animated picture.

    Args:
        paths: list of paths of pictures in their order, all of one size, RGB or grey; or the
            path of a folder, whose pictures are taken in the order of their names, a number in a
            name (`2.png`, `10.png`) by its value; or an animated PNG, GIF or WebP.
        convert: bool, whether conversions that lose something are made.

    Returns:
        An `Item` of kind video or grey_video.

    Raises:
        MdnnError: no picture, a picture that cannot be read or is of another size or kind than
            the first, more than `MAX_PIXELS` pixels together.
    """
    name = None
    if isinstance(paths, str | os.PathLike):
        name = str(paths)
        folder = as_path(paths)
        paths = [paths] if not folder.is_dir() else _pictures(folder)
    paths = [str(path) for path in paths]
    if not paths:
        raise MdnnError(f"{name or 'a film'}: expected pictures, received none")
    frames, first = [], None
    for path in paths:
        item = read_item(path, convert=convert)
        if modality(item.kind).key == "video" and len(paths) == 1:
            return item
        if modality(item.kind).key != "image":
            raise MdnnError(f"{path}: expected a picture of a film, received {item.kind}")
        if first is None:
            first = item
            height, width = item.value.shape[:2]
            what = f"{len(paths)} frames of {width} x {height}"
            check_pixels(len(paths) * height * width, what, name or path)
        if item.kind != first.kind or item.value.shape != first.value.shape:
            raise MdnnError(
                f"{path}: expected {first.kind} {list(first.value.shape)} as in {paths[0]}, "
                f"received {item.kind} {list(item.value.shape)}"
            )
        frames.append(item.value if item.value.ndim == 3 else item.value[..., None])
    return pixel_item(np.stack(frames), name or paths[0])


def _pictures(folder):
    """Returns the paths of a folder's pictures, numbers in their names by value."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    except OSError as error:
        raise MdnnError(f"cannot read {folder}: {error.strerror}") from None
    found = [path for path in found if not path.name.startswith(".")]
    return sorted(found, key=lambda p: (int(p.stem) if p.stem.isdecimal() else -1, p.name))


def load_file(source, name, default):
    """Returns `(data, name)` of bytes or a path, for a decoder.

    Args:
        source: bytes, or the path of a file.
        name: str, the file's name in errors; `None`: the path, or `default` of bytes.
        default: str, the name of bytes.

    Raises:
        MdnnError: the file cannot be read, is not a regular file or is larger than `MAX_BYTES`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, name, size = bytes(source), name or default, len(source)
    else:
        name = name or str(source)
        try:
            # a device or a pipe has no size and might never end
            if os.path.exists(source) and not os.path.isfile(source):
                raise MdnnError(f"{name}: expected a file")
            with open(source, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read() if size <= MAX_BYTES else b""
        except OSError as error:
            raise MdnnError(f"cannot read {name}: {error.strerror or error}") from None
    if size > MAX_BYTES:
        raise MdnnError(f"{name}: expected at most {MAX_BYTES:,} bytes, received {size:,}")
    return data, name
