"""Locks a run folder against training by a second process."""

import contextlib
import os

from mdnn.errors import MdnnError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def _opened(path):
    """Opens a folder and returns its file descriptor; `None` if the system does not support it."""
    if fcntl is None:
        return None
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


@contextlib.contextmanager
def locked(path):
    """Locks a run folder for this process inside the context.

    The operating system holds the lock on the folder itself: there is no lock file, and the lock
    ends with the process, even after a crash. Does nothing on systems without such locks.

    Args:
        path: the run folder.

    Raises:
        MdnnError: another process holds the lock.
    """
    handle = _opened(path)
    if handle is None:
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MdnnError(f"{path} is being trained by another process: wait for it") from None
        except OSError:  # file system without lock support
            pass
        yield
    finally:
        os.close(handle)
