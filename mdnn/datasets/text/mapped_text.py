"""Text files that are larger than memory: read piece by piece into a memory map of code points."""

import codecs
import tempfile

import numpy as np

from mdnn.errors import MdnnError
from mdnn.text_encodings import MARK, check_encoding, decode_text, spelled

PIECE = 1 << 22
"""Bytes of a file that are decoded at a time."""


def mapped_text(path, encoding="utf-8"):
    """Returns the code points of a text file, in a memory map of a temporary file.

    The temporary file takes four bytes for each character, in the folder for temporary files
    (`TMPDIR`), and vanishes with the array. Memory holds one piece of the file, and of the map what
    is read of it at the time.

    Args:
        path: `pathlib.Path` of the file.
        encoding: str, the file's encoding (Python's name).

    Returns:
        `numpy.memmap`, int32 `[characters]`. A byte order mark is dropped.

    Raises:
        MdnnError: the file cannot be read, is empty, or is in another encoding.
    """
    encoding, name = check_encoding(encoding), repr(str(path))
    try:
        # A map outlives its file, which is deleted when both are closed.
        with tempfile.TemporaryFile(prefix="mdnn-") as store:
            characters = _decoded(path, encoding, name, store)
            store.flush()
            if characters:
                return np.memmap(store, dtype=np.int32, mode="r", shape=(characters,))
    except OSError as error:
        raise MdnnError(f"cannot read {name} into a memory map: {error.strerror}") from None
    raise MdnnError(f"no text in {name}: it is empty")


def _decoded(path, encoding, name, store):
    """Writes the code points of a file into another one; returns their number."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done = characters = 0
    with open(path, "rb") as file:
        while True:
            raw = file.read(PIECE)
            if not done and encoding == "utf-8":
                # Refuses files that are not text. The piece may end inside a character.
                whole_lines = raw[: raw.rfind(b"\n") + 1] if len(raw) == PIECE else raw
                decode_text(whole_lines, encoding, name)
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeError as error:
                raise MdnnError(
                    f"{name} is not {spelled(encoding)} text, after byte {done:,}: {error}"
                ) from None
            text = text if characters else text.removeprefix(MARK)
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            points.astype(np.int32).tofile(store)
            done, characters = done + len(raw), characters + len(points)
            if not raw:
                return characters
