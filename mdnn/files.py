"""Writing files so that a reader finds the old one or the new one, never a part."""

import contextlib
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    Example:

    >>> with replacing("weights.safetensors") as part:
    ...     part.write_bytes(data)
    """
    path = Path(path)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        yield Path(part)
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        # mkstemp's files are the owner's alone; a result is as readable as any other file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def write_text(path, text):
    """Writes a text file whole or not at all, as UTF-8."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
