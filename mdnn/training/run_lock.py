"""One process trains into one run folder."""

import contextlib
import os

from mdnn.errors import MdnnError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def _opened(path):
    """A handle of a folder; `None` where the system has no such handles, or no locks."""
    if fcntl is None:
        return None
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


@contextlib.contextmanager
def locked(path):
    """Holds a run folder for this process.

    The lock is the system's, on the folder itself: it leaves no file, and it ends with the
    process, however that ends. Where the system has no such locks, nothing is held.

    Args:
        path: the run folder.

    Raises:
        MdnnError: another process holds it.
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
        except OSError:  # a file system that knows no locks
            pass
        yield
    finally:
        os.close(handle)
