"""Reads text from its source: the documentation inside Python, a file, a folder, a TFDS set."""

import os
import re

from mdnn.datasets.text.text_folder import LeftOut, text_paths
from mdnn.errors import MdnnError, did_you_mean
from mdnn.file_systems import as_path
from mdnn.text_encodings import decode_text

PYTHON_DOCS = "python-docs"
"""Name of the text that ships with Python: the reference texts of `pydoc_data.topics`."""

TFDS = "tfds:"
"""What the name of a TFDS text set begins with, as in `tfds:tiny_shakespeare`."""

DIGITS = "digits"
"""Name of the source of items inside scikit-learn (see `mdnn.datasets.items.digits`); no text."""

MANIFEST = "manifest.jsonl"
"""Name of the file that makes a folder a source of items (see `mdnn.datasets.items.manifest`)."""

JOIN = "\n\n"
"""What stands between two texts of one source."""

MAX_BYTES = 1 << 31
"""Bytes that a text file may have: larger ones are not read."""

# Two characters at least: one is a drive letter.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def read_text(source, encoding="utf-8"):
    """Returns the text of a source, character for character.

    Args:
        source: str or path:

            - `"python-docs"`: the reference texts that ship with Python (about 465,000
              characters), joined by an empty line.
            - a text file; a byte order mark is dropped, line ends are kept as they are.
            - a folder: every text file below it in the order of the relative paths, joined by an
              empty line. What is left out (see `mdnn.datasets.text.text_folder.text_paths`) is
              said in one line on standard error.
            - `"tfds:NAME"`: a TensorFlow Datasets text set, its splits train, validation and
              test one after another.
        encoding: str, the encoding of text files as Python names it.

    Returns:
        str, not empty.

    Raises:
        MdnnError: there is no such source, it cannot be read, is in another encoding or has
            no text.
    """
    name = os.fspath(source)
    if not name.strip():
        raise MdnnError(
            f"expected a source: {PYTHON_DOCS}, a file, a folder or {TFDS}NAME; received {name!r}"
        )
    if name == DIGITS:
        raise MdnnError(f"{DIGITS!r} is a source of items (layout = 'items'), expected a text")
    if name == PYTHON_DOCS:
        text = _python_docs()
    elif name.startswith(TFDS):
        # imported late: TensorFlow takes seconds to import
        from mdnn.datasets.tfds.tfds_text import read_tfds

        text = read_tfds(name[len(TFDS) :])
    else:
        path = as_path(name, "source")
        if path.is_dir():
            text = _read_folder(path, encoding)
        elif path.is_file():
            text = _read_file(path, encoding)
        else:
            raise MdnnError(_no_such(name, path))
    if not text:
        raise MdnnError(f"no text in {name!r}: it is empty")
    return text


def _python_docs():
    """Returns the texts of `pydoc_data.topics` in the dictionary's order."""
    try:
        from pydoc_data import topics
    except ImportError:
        raise MdnnError(
            f"{PYTHON_DOCS!r} needs Python's module pydoc_data, which this Python leaves out; "
            "give a text file as the source"
        ) from None
    return JOIN.join(topics.topics.values())


def _read_file(path, encoding):
    """Returns a file's text; its bytes are read once."""
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise MdnnError(
                f"{str(path)!r}: expected at most {MAX_BYTES:,} bytes, received {size:,}"
            )
        raw = path.read_bytes()
    except OSError as error:
        raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None
    return decode_text(raw, encoding, repr(str(path)))


def _read_folder(folder, encoding):
    """Returns the joined texts of a folder's files; reports skipped files."""
    left_out = LeftOut()
    paths = text_paths(folder, left_out, MANIFEST)
    texts = [_read_file(path, encoding) for path in paths]
    left_out.say(folder)
    if not any(texts):
        raise MdnnError(
            f"no text in the folder {str(folder)!r}: {left_out.line() or 'it has no files'}"
        )
    return JOIN.join(text for text in texts if text)


def _no_such(name, path):
    """Returns the message for a source that is neither a known word nor a file or folder."""
    if os.path.lexists(path):
        kind = "" if path.exists() else " (a broken link)"
        if path.is_fifo():
            kind = " (a pipe, which is read only once: save it as a file)"
        return f"{name!r} is neither a text file nor a folder{kind}"
    scheme = _SCHEME.match(name)
    if scheme:
        return (
            f"unknown kind of source {scheme[1]!r} in {name!r}; "
            f"known: {PYTHON_DOCS}, {TFDS}NAME, a text file, a folder"
        )
    try:
        beside = {entry.name: str(path.parent / entry.name) for entry in os.scandir(path.parent)}
    except OSError:
        beside = {}
    hint = did_you_mean(name, [PYTHON_DOCS], 0.7) or did_you_mean(path.name, beside, 0.6, beside)
    return f"no such file or folder: {name!r}{hint}"


def split(text, validation=0.1, at_least=1, name="the text"):
    """Returns a text's training and validation parts, cut as nanoGPT cuts.

    Args:
        text: a string or an array of token ids, anything that can be sliced.
        validation: float above 0 and below 1: the share at the end that validates; the first
            `int(n * (1 - validation))` train.
        at_least: int, what either part needs at least.
        name: What the error calls the text.

    Returns:
        `(train, validation)`.

    Raises:
        MdnnError: either part would be shorter than `at_least`.
    """
    if not 0 < validation < 1:
        raise MdnnError(f"validation must lie between 0 and 1; received {validation}")
    cut = int(len(text) * (1 - validation))
    parts = text[:cut], text[cut:]
    if min(map(len, parts)) < at_least:
        raise MdnnError(
            f"{name} is too short: {len(text)} split into {len(parts[0])} to train and "
            f"{len(parts[1])} to validate; each needs at least {at_least}"
        )
    return parts
