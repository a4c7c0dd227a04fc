"""Writes files atomically, and reads files of limited size."""

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
    """Context manager that yields a temporary path and renames it to `path` on success.

    The block creates the file. File and folder are synced, so that after a power cut either the old
    or the new file exists. A killed process leaves the temporary file behind; see `sweep`.

    Raises:
        OSError: the system refuses an operation; `filename` is `path`.

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
    """Context manager that sets the file name of `OSError`s to `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(folder):
    """Removes the temporary files that killed processes left in a folder.

    Requires that no other process writes there.
    """
    for path in filter(_half_written, Path(folder).iterdir()):
        with contextlib.suppress(OSError):
            path.unlink()


def _half_written(path):
    # The second pattern is that of the temporary files of safetensors.
    return fnmatch.fnmatch(path.name, ".*.part") or fnmatch.fnmatch(path.name, ".tmp??????")


@contextlib.contextmanager
def making(path, old=None):
    """Context manager that yields a temporary folder and renames it to `path` on success.

    Creates missing parent folders, and removes them after an error.

    Args:
        path: the folder to make.
        old: a folder that is removed on success, before the renaming; `None` for none.
    """
    path = Path(path)
    missing = [folder for folder in path.parents if not folder.exists()]
    part = temporary_name(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    try:
        yield part
        if old is not None:
            shutil.rmtree(old)
        if path.is_dir():
            # Windows cannot rename over a folder, even if it is empty.
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
    """Writes a text file atomically as UTF-8."""
    with replacing(path) as part:
        # Bytes, because text mode changes line ends on Windows.
        part.write_bytes(text.encode("utf-8"))


def read_bytes(path, limit, name=None):
    """Returns the bytes of a regular file of limited size.

    Args:
        path: the file.
        limit: int, largest size in bytes.
        name: str, the name of the file in errors; `None` for its path.

    Raises:
        MdnnError: the file cannot be read, is not a regular file, or is too large.
    """
    name = str(path) if name is None else name
    try:
        # Devices and pipes have no size and may never end.
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


def read_small_text(path, most):
    """Returns the text of a small file, UTF-8, without a byte order mark at its beginning.

    Args:
        path: the file.
        most: int, largest size in bytes.

    Raises:
        MdnnError: the file cannot be read, is too large, or is not UTF-8.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8").removeprefix(MARK)
    except UnicodeDecodeError as error:
        raise undecodable(
            f"{path} cannot be read: it", data, "utf-8", error.start, key=None
        ) from None


def check_new_folder(path, resumable=False):
    """Refuses a path that exists, unless it is an empty folder.

    Args:
        path: the folder to make.
        resumable: bool, whether what made such a folder can go on with it (`--resume`).

    Raises:
        MdnnError: the path is a file, or a folder that is not empty.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise MdnnError(f"{path} already exists and is a file: choose another folder")
    if path.is_dir() and any(not _half_written(entry) for entry in path.iterdir()):
        if not resumable:
            raise MdnnError(f"{path} already exists: choose another folder")
        raise MdnnError(
            f"{path} already exists. Choose another folder, or continue it: --resume, in Python "
            "resume=True"
        )
