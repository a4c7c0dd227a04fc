"""Locks a run folder against training by a second process."""

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path

from mdnn.errors import MdnnError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # every other system
    msvcrt = None

_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""Error numbers of a lock that another process holds."""


@contextlib.contextmanager
def locked(path):
    """Locks a run folder for this process inside the context.

    The operating system holds the lock, which therefore ends with the process, even after a crash.
    The lock is on the folder itself. On Windows, and on file systems without locks, it is on a file
    in the folder for temporary files, which excludes processes on the same computer, but not on
    others that share the disk.

    Args:
        path: the run folder; it must exist.

    Raises:
        MdnnError: another process holds the lock.
    """
    handle = _lock_folder(path)
    if handle is None:
        handle = _lock_beside(path)
    try:
        yield
    finally:
        if handle is not None:
            _release(handle)


def _lock_folder(path):
    """Locks a folder and returns its file descriptor; `None` if the system cannot."""
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    return _lock(handle, path)


def _lock_beside(path):
    """Locks a folder's file in the temporary folder; returns its descriptor or `None`."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(lock_file(path), flags, 0o600)
    except OSError:
        return None
    return _lock(handle, path)


def lock_file(path):
    """Returns the path of a run folder's lock file, the same for all names of the folder."""
    name = os.path.normcase(os.path.realpath(path))
    digest = hashlib.blake2b(os.fsencode(name), digest_size=12).hexdigest()
    user = os.getuid() if hasattr(os, "getuid") else ""
    return Path(tempfile.gettempdir()) / f"mdnn-{user}-{digest}.lock"


def _lock(handle, path):
    """Locks an open file; closes it and returns `None` if it cannot be locked.

    Raises:
        MdnnError: another process holds the lock.
    """
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            # The byte to lock need not exist. Only this byte is locked, at the current offset.
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        os.close(handle)
        if error.errno in _TAKEN:
            raise MdnnError(f"{path} is being trained by another process: wait for it") from None
        return None
    return handle


def _release(handle):
    """Unlocks and closes a file."""
    if fcntl is None:
        # Windows releases the lock of a closed file only later.
        with contextlib.suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    os.close(handle)
