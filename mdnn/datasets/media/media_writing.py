"""Files of items: texts, PNG and WAV out."""

import errno
import os

from mdnn.datasets.media.png_files import encode_png
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making, replacing
from mdnn.text_encodings import MARK
from mdnn.tokens.items import as_item
from mdnn.tokens.modalities import modality


def item_bytes(item, rate=None, suffix=None):
    """Returns the bytes of the file that holds an item.

    Args:
        item: An `Item`.
        rate: int, samples per second of a sound that does not say.
        suffix: str, end of the name of the file; the usual one if no file of the kind ends so.

    Returns:
        `(bytes, suffix)`: UTF-8 and `.txt`, a PNG (animated for a film) and `.png`, of a film also
        an animated GIF and `.gif`, a WAV and `.wav`, or what a registered modality writes.
        Reading them gives the item again, exactly.

    Raises:
        MdnnError: a text that is not Unicode (lone surrogates), a sound whose rate is not known.
    """
    form = modality(item.kind)
    suffix = suffix if suffix in form.write_suffixes else form.suffix
    return form.encode_as(suffix, item, rate), suffix


def encode_text(item, rate=None):
    """Returns the bytes of a text file, UTF-8; `rate` has no meaning for texts.

    Raises:
        MdnnError: a text that is not Unicode (lone surrogates).
    """
    # readers drop one byte order mark: a text's own is written after another one
    text = MARK + item.value if item.value.startswith(MARK) else item.value
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MdnnError(
            f"{item.name or 'a text'}: character {error.start} cannot be written as UTF-8: "
            f"U+{ord(text[error.start]):04X}"
        ) from None


def write_item(item, path, rate=None):
    """Writes an item to a file, whole or not at all; a file that is there is replaced.

    Args:
        item: An `Item`, or what `mdnn.generate` returns: a string, or an array (see
            `mdnn.tokens.items.as_item`).
        path: str or path: a `.txt` for a text, a `.png` for a picture, a `.wav` for a sound.
            A film goes to a `.png` or `.gif` (animated), or, if the name has no such end, to a
            new folder of pictures `000000.png`, `000001.png`, ...
        rate: int, samples per second of a sound that does not say.

    Raises:
        MdnnError: something that is not an item, another end of the name, a folder that is not
            empty, an item that its file cannot hold (see `item_bytes`), a path that cannot be
            written.
    """
    path = as_path(path)
    item = as_item(item, str(path))
    try:
        if len(modality(item.kind).coordinates) == 3 and not path.suffix:
            _write_frames(item, path)
            return
        data, suffix = item_bytes(item, rate, path.suffix.lower())
        if path.suffix.lower() != suffix:
            raise MdnnError(f"{path}: expected a file {suffix} for an item of kind {item.kind}")
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise MdnnError(f"cannot write {path}: {error.strerror or error}") from None


def _write_frames(item, path):
    check_new_folder(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with making(path) as part:
        for number, picture in enumerate(item.value):
            (part / f"{number:06}.png").write_bytes(encode_png(as_item(picture)))
