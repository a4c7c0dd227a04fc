"""File operations with fallbacks for file systems that lack them.

Windows cannot sync read-only handles or folders, nor rename files that another program has open.
exFAT and network disks have no mode bits and no locks. Object-store mounts may not support
renaming, appending or syncing. Each function here uses the operation if it is supported, and
otherwise the closest alternative or nothing.
"""

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from mdnn.errors import MdnnError

UNSUPPORTED = frozenset(
    getattr(errno, name)
    for name in ("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "ENOTTY", "EXDEV", "EMFILE")
    if hasattr(errno, name)
)
"""Error numbers of operations that a file system does not support."""

BUSY = frozenset((errno.EACCES, errno.EBUSY, errno.ETXTBSY, errno.EPERM))
"""Error numbers of a rename while another program has one of the files open."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Delays in seconds between tries of a rename; virus scanners hold files for shorter times."""


def as_path(path, name="path"):
    """Converts a user's path to a `pathlib.Path` and expands `~` to the home folder.

    Args:
        path: a string or `os.PathLike`.
        name: str, the name of the argument in errors.

    Returns:
        `pathlib.Path`.

    Raises:
        MdnnError: the value is not a path, is empty, or contains a null character.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise MdnnError(f"{name}: expected a path, received {path!r:.100}")
    if not text:
        raise MdnnError(f"{name}: expected a path, received an empty text")
    if "\0" in text:
        raise MdnnError(f"{name}: expected a path, received one with a null character: {text!r}")
    return Path(os.path.expanduser(text))


def path_argument(text):
    """Expands `~` of a path on the command line: the type of every argument that is a path.

    A shell expands `~` only at the beginning of a word, not in `--out=~/runs`. Everything else of
    a path is taken as it is: spaces, `$`, `%`, quotes and any script.

    Args:
        text: str, a path or a source such as `tfds:NAME`.

    Returns:
        str.
    """
    return os.path.expanduser(text)


def temporary_name(path):
    """Returns a new hidden path beside `path` that ends with `.part`; nothing is created.

    Long names are truncated to fit 143 bytes with the additions, the smallest limit in use
    (eCryptfs).
    """
    path, start = Path(path), ""
    for character in path.name:
        if len(os.fsencode(start + character)) > 64:
            break
        start += character
    return path.with_name(f".{start}.{os.urandom(4).hex()}.part")


def sync_file(path):
    """Writes a file's data to the disk.

    Raises:
        OSError: the data cannot be written. A file system without syncing raises no error.
    """
    try:
        # Windows syncs only writable handles.
        file = open(path, "r+b")  # noqa: SIM115 - closed below
    except OSError as error:
        if error.errno not in UNSUPPORTED | BUSY:
            raise
        return
    with file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in UNSUPPORTED | {errno.EBADF}:
                raise


def sync_folder(path):
    """Syncs a folder, so that renames inside it survive a power cut, if the system supports it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows cannot open folders.
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def rename(source, target):
    """Renames a file or folder within the same folder, replacing the target.

    If another program has the target open (Windows, network disks), retries for 1.5 seconds. If
    the file system cannot rename over a file, removes the old file first. If it cannot rename at
    all, copies the data; a process killed meanwhile may then leave an incomplete target.

    Raises:
        OSError: the target cannot be written.
    """
    source, target = Path(source), Path(target)
    for pause in (*PAUSES, None):
        try:
            os.replace(source, target)
            return
        except FileExistsError:
            if source.is_dir():
                raise
            os.unlink(target)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                break
            if error.errno not in BUSY or pause is None:
                raise
            time.sleep(pause)
    if source.is_dir():
        # Not copytree, which also copies mode bits.
        for folder, _, files in os.walk(source):
            copy = target / Path(folder).relative_to(source)
            copy.mkdir(exist_ok=True)
            for name in files:
                shutil.copyfile(Path(folder) / name, copy / name)
        shutil.rmtree(source, ignore_errors=True)
        return
    shutil.copyfile(source, target)
    sync_file(target)
    os.unlink(source)


def set_default_mode(path):
    """Sets the default mode of new files or folders (0o666 or 0o777 less the umask)."""
    mask = os.umask(0)
    os.umask(mask)
    mode = 0o777 if os.path.isdir(path) else 0o666
    with contextlib.suppress(OSError, NotImplementedError):
        os.chmod(path, mode & ~mask)


def append_text(path, text):
    """Appends text to a file; rewrites the file if the file system cannot append.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(text)
        return
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    part = temporary_name(path)
    try:
        part.write_bytes(Path(path).read_bytes() + text.encode("utf-8"))
        rename(part, path)
    finally:
        part.unlink(missing_ok=True)
