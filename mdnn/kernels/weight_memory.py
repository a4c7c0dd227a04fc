"""Memory for packed weights: aligned, and in large pages where the system has them.

A product reads its weights from one end to the other; processors fetch ahead within a page only. In
pages of 2 MiB a core reads 10 to 12% more bytes per second than in pages of 4 KiB.
"""

import contextlib
import mmap
import threading

import numpy as np

LINE, BLOCK = 64, 1 << 24
"""Bytes of a cache line, at whose multiples arrays begin, and of a block that arrays share."""


class _Blocks:
    """Hands out pieces of large blocks; a block is freed with the last array in it."""

    def __init__(self):
        self.lock, self.block, self.used = threading.Lock(), None, 0

    def take(self, size):
        """Returns `size` zeroed bytes, uint8, that begin at a multiple of `LINE`."""
        size = -(-size // LINE) * LINE
        if size >= BLOCK:
            return _mapped(size)
        with self.lock:
            if self.block is None or self.used + size > BLOCK:
                self.block, self.used = _mapped(BLOCK), 0
            start, self.used = self.used, self.used + size
            return self.block[start : start + size]


def _mapped(size):
    """Returns zeroed bytes of the system's, uint8, in large pages where it has them."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        raw = np.zeros(size + LINE, "uint8")
        start = -raw.ctypes.data % LINE
        return raw[start : start + size]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, max(size, mmap.PAGESIZE), flags=flags)
    # A kernel may have no large pages.
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, "uint8")


_BLOCKS = _Blocks()


def aligned_zeros(shape, dtype):
    """Returns zeros that begin at a multiple of 64 bytes.

    Args:
        shape: tuple of int.
        dtype: numpy dtype.
    """
    size = int(np.prod(shape, dtype="int64")) * np.dtype(dtype).itemsize
    return _BLOCKS.take(size)[:size].view(dtype).reshape(shape)
