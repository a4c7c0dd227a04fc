"""Writing files so that a reader finds the old one or the new one, never a part."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from mdnn.errors import MdnnError


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
        os.chmod(part, 0o666 & ~_mask())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


@contextlib.contextmanager
def making(path):
    """A temporary folder beside `path`, renamed to it when the block ends without an error.

    Folders above `path` are made where they are not there, and unmade after an error.
    """
    path = Path(path)
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield part
        os.chmod(part, 0o777 & ~_mask())
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _mask():
    """The process's mask of permissions; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text):
    """Writes a text file whole or not at all, as UTF-8."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def check_new_folder(path):
    """Refuses a path at which there is something already, but for an empty folder.

    Raises:
        MdnnError: a file, or a folder that is not empty.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise MdnnError(f"{path} is there already, a file: take another folder")
    if path.is_dir() and any(path.iterdir()):
        raise MdnnError(
            f"{path} is there already: take another folder, or go on with it (--resume)"
        )
