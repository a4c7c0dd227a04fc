"""Locks of other systems: Windows, file systems that have none for folders, and none at all."""

import errno
import fcntl
import os
import stat

from mdnn.training import run_lock


class Msvcrt:
    """The locks of Windows' C library: of bytes of files, refused with EACCES."""

    LK_UNLCK, LK_NBLCK = 0, 2

    @classmethod
    def locking(cls, handle, mode, size):
        assert size == 1
        assert os.lseek(handle, 0, os.SEEK_CUR) == 0
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        if mode == cls.LK_UNLCK:
            fcntl.flock(handle, fcntl.LOCK_UN)
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES)) from None


class Flock:
    """Locks of a POSIX system whose network disk has none.

    Args:
        anywhere: boolean, whether files elsewhere can be locked.
    """

    LOCK_EX, LOCK_NB = fcntl.LOCK_EX, fcntl.LOCK_NB

    def __init__(self, anywhere):
        self.anywhere = anywhere

    def flock(self, handle, mode):
        if not self.anywhere or stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        fcntl.flock(handle, mode)


def emulate(name):
    """Makes this process's locks those of `"posix"`, `"windows"`, `"network"` or `"none"`."""
    systems = {
        "posix": (fcntl, None),
        "windows": (None, Msvcrt),
        "network": (Flock(True), None),
        "none": (Flock(False), None),
    }
    run_lock.fcntl, run_lock.msvcrt = systems[name]
