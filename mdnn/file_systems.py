"""File operations that work on every system: what a file system lacks is gone without.

Windows syncs no read-only handle and no folder, and renames nothing that another program has open.
exFAT and network disks have no mode bits and no locks. Object-store mounts may not rename, append
or sync. Each function here makes the operation where the system has it, and does the next best
thing, or nothing, where it does not.
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
"""Numbers of errors by which a file system says that it has no such operation."""

BUSY = frozenset((errno.EACCES, errno.EBUSY, errno.ETXTBSY, errno.EPERM))
"""Numbers of errors of a rename while another program has one of the files open."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait before each further try of a rename; virus scanners hold a file for less."""


def as_path(path, name="path"):
    """Returns a path that a person named, with `~` for the home folder.

    Args:
        path: a string or `os.PathLike`.
        name: what errors call it.

    Returns:
        `pathlib.Path`.

    Raises:
        MdnnError: no path at all, an empty one, one with a null character.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise MdnnError(f"{name}: expected a path, received {path!r}")
    if not text:
        raise MdnnError(f"{name}: expected a path, received an empty text")
    if "\0" in text:
        raise MdnnError(f"{name}: expected a path, received one with a null character: {text!r}")
    return Path(os.path.expanduser(text))


def temporary_name(path):
    """Returns a new hidden path beside `path` that ends with `.part`; nothing is created.

    A long name is cut: with its additions it must fit 143 bytes, the shortest limit in use
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
        OSError: the data cannot be written. A file system without syncing raises nothing.
    """
    try:
        # Windows syncs only handles that may write.
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
    """Makes the renames inside a folder last through a power cut, where the system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders.
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def rename(source, target):
    """Gives a file or folder a new name in the same folder, in place of what is there.

    A target that another program has open (Windows, network disks) is tried again for 1.5
    seconds. Where the file system cannot rename over a file, the old file is removed first; where
    it cannot rename at all, the data are copied: then a process that is killed meanwhile may
    leave half of them.

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
        # Not copytree, which copies mode bits, too.
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
    """Makes a file or folder as accessible as any that a program creates, where modes exist."""
    mask = os.umask(0)
    os.umask(mask)
    mode = 0o777 if os.path.isdir(path) else 0o666
    with contextlib.suppress(OSError, NotImplementedError):
        os.chmod(path, mode & ~mask)


def append_text(path, text):
    """Adds text at the end of a file; where nothing can be appended the file is written anew.

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
