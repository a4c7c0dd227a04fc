"""Length and hash of a training source, to detect changes between two runs of `train`."""

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np

from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.strict_json import read_json

SOURCE = "source.json"
"""Name of the file of a run folder that says what its source was."""

# Of contents of more than WHOLE bytes, BLOCKS evenly spaced blocks of BLOCK bytes are hashed.
WHOLE, BLOCK, BLOCKS = 1 << 24, 1 << 18, 64

# Of larger files of items, only the beginning and the end are hashed.
FILE_END = 1 << 15


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Length and hash by which a source is recognized.

    Args:
        length: int, bytes of all that was read.
        hash: str, 32 hexadecimal digits.
    """

    length: int
    hash: str


def fingerprint(contents):
    """Returns the `Fingerprint` of the contents of a source.

    Contents of more than 16 MiB are sampled: 64 blocks of 256 KiB, the first and the last among
    them. Of a file of more than 64 KiB the two ends of 32 KiB are hashed, with its size.

    Args:
        contents: iterable of arrays, strings, bytes and `pathlib.Path`s of files.

    Raises:
        MdnnError: a file cannot be read.
    """
    total, digest = 0, hashlib.blake2b(digest_size=16)
    for content in contents:
        if isinstance(content, Path):
            length, pieces = _file(content)
        else:
            if isinstance(content, str):
                content = content.encode("utf-8", "surrogatepass")
            elif isinstance(content, np.ndarray):
                content = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
            length, pieces = len(content), _pieces(memoryview(content))
        total += length
        digest.update(length.to_bytes(8, "little"))
        for piece in pieces:
            digest.update(piece)
    return Fingerprint(total, digest.hexdigest())


def _pieces(content):
    """Returns the pieces of a content that are hashed."""
    if len(content) <= WHOLE:
        return [content]
    starts = np.linspace(0, len(content) - BLOCK, BLOCKS).astype(np.int64).tolist()
    return [content[start : start + BLOCK] for start in starts]


def _file(path):
    """Returns a file's size and the pieces of it that are hashed."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= 2 * FILE_END:
                return size, [file.read()]
            first = file.read(FILE_END)
            file.seek(-FILE_END, os.SEEK_END)
            return size, [first, file.read()]
    except OSError as error:
        raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None


def write_source(folder, source, found):
    """Writes a source's name and `Fingerprint`, if it has one, into a run folder.

    Args:
        folder: the run folder.
        source: the source's name or path.
        found: `Fingerprint`; with `None` nothing is written.
    """
    if found is None:
        return
    table = {"source": str(source)} | dataclasses.asdict(found)
    write_text(Path(folder) / SOURCE, json.dumps(table) + "\n")


def source_change(folder, found):
    """Returns a line that says how a run's source changed, or `None`.

    Args:
        folder: the run folder.
        found: `Fingerprint` of the source as it is now, or `None`.

    Returns:
        str; `None` if it is what it was, or the run folder does not say what it was.

    Raises:
        MdnnError: the run folder's file says no fingerprint.
    """
    path = Path(folder) / SOURCE
    if found is None or not path.exists():
        return None
    table = read_json(path)
    kinds = {"source": str, "length": int, "hash": str}
    if (
        not isinstance(table, dict)
        or {key: type(value) for key, value in table.items()} != kinds
        or not re.fullmatch("[0-9a-f]{32}", table["hash"])
    ):
        raise MdnnError(f"{path}: expected source, length and hash of the data; delete it to go on")
    before = Fingerprint(table["length"], table["hash"])
    if before == found:
        return None
    lengths = f"{before.length:,} bytes then, {found.length:,} now"
    if before.length == found.length:
        lengths = f"{found.length:,} bytes as then, others"
    return (
        f"the source {table['source']!r} changed since this run began ({lengths}): training goes "
        "on with what is there now"
    )
