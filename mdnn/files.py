"""Writing files so that a reader finds the old one or the new one, never a part."""

import contextlib
import fnmatch
import os
import shutil
from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.file_systems import rename, set_default_mode, sync_file, sync_folder, temporary_name
from mdnn.text_encodings import MARK, undecodable


@contextlib.contextmanager
def replacing(path):
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    The block creates the file. File and folder are synced: after a power cut there is the old file
    or the new one. A process that is killed leaves the temporary file behind; see `sweep`.

    Raises:
        OSError: what the system refuses, with `path` as its file.

    Example:

    >>> with replacing("weights.safetensors") as part:
    ...     part.write_bytes(data)
    """
    path = Path(path)
    with naming(path):
        part = temporary_name(path)
        try:
            yield part
            sync_file(part)
            set_default_mode(part)
            rename(part, path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise


@contextlib.contextmanager
def naming(path):
    """Gives errors of the system the name of the file that a person knows."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(folder):
    """Removes the half-written files that a killed process left in a folder.

    Only for whoever alone writes there.
    """
    for path in filter(_half_written, Path(folder).iterdir()):
        with contextlib.suppress(OSError):
            path.unlink()


def _half_written(path):
    # safetensors writes a `.tmp` of its own before it renames it to the name that it is given.
    return fnmatch.fnmatch(path.name, ".*.part") or fnmatch.fnmatch(path.name, ".tmp??????")


@contextlib.contextmanager
def making(path):
    """A temporary folder beside `path`, renamed to it when the block ends without an error.

    Folders above `path` are made where they are not there, and unmade after an error.
    """
    path = Path(path)
    missing = [folder for folder in path.parents if not folder.exists()]
    part = temporary_name(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    try:
        yield part
        if path.is_dir():
            # Windows renames nothing over a folder, not even over an empty one.
            with contextlib.suppress(OSError):
                path.rmdir()
        rename(part, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def write_text(path, text):
    """Writes a text file whole or not at all, as UTF-8."""
    with replacing(path) as part:
        # Bytes: Windows would write other line ends.
        part.write_bytes(text.encode("utf-8"))


def read_bytes(path, limit, name=None):
    """Returns the bytes of a regular file of limited size.

    Args:
        path: the file.
        limit: int, the largest size in bytes that is read.
        name: string, what errors call the file; `None`: its path.

    Raises:
        MdnnError: the file cannot be read, is no regular file, or is larger.
    """
    name = str(path) if name is None else name
    try:
        # A device or a pipe has no size and might never end.
        if os.path.exists(path) and not os.path.isfile(path):
            raise MdnnError(f"{name} cannot be read: expected a file")
        with open(path, "rb") as file:
            # `read(limit)` would allocate the limit first.
            if (size := os.fstat(file.fileno()).st_size) > limit:
                raise MdnnError(
                    f"{name} cannot be read: expected at most {limit:,} bytes, received {size:,}"
                )
            return file.read()
    except OSError as error:
        raise MdnnError(f"{name} cannot be read: {error.strerror or error}") from None


def read_text(path, most):
    """Returns the text of a small file, UTF-8, without a byte order mark at its beginning.

    Args:
        path: the file.
        most: int, the largest size in bytes that is read.

    Raises:
        MdnnError: the file cannot be read, is larger, or is not UTF-8.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8").removeprefix(MARK)
    except UnicodeDecodeError as error:
        raise undecodable(
            f"{path} cannot be read: it", data, "utf-8", error.start, key=None
        ) from None


def check_new_folder(path):
    """Refuses a path at which there is something already, but for an empty folder.

    Raises:
        MdnnError: a file, or a folder that is not empty.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise MdnnError(f"{path} already exists and is a file: choose another folder")
    if path.is_dir() and any(not _half_written(entry) for entry in path.iterdir()):
        raise MdnnError(
            f"{path} already exists. Choose another folder, or continue it: --resume, in Python "
            "resume=True"
        )
