"""Reads the arrays of a safetensors file through a memory map."""

import json
import mmap

import numpy as np

from mdnn.errors import MdnnError
from mdnn.runs.safetensors_io import CHECK, check_sum, opened

_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "I32": "<i4", "U8": "u1"}


class MappedArrays:
    """The arrays of a safetensors file, which stay in the file until they are read.

    Files are replaced when they are rewritten, never changed, so that a map stays valid.

    Args:
        path: the file.

    Attributes:
        arrays: dict from names to arrays that cannot be written.
        about: dict of strings, the metadata.

    Raises:
        MdnnError: see `mdnn.runs.safetensors_io.read_arrays`.
    """

    def __init__(self, path):
        # The package checks the header: sizes, offsets, shapes, dtypes.
        with opened(path) as file:
            self.about = file.metadata() or {}
        mapped = np.memmap(path, "uint8", "r")
        self.path, self._map, self._file = path, mapped._mmap, mapped.view(np.ndarray)
        size = int(self._file[:8].view("<u8")[0])
        header = json.loads(self._file[8 : 8 + size].tobytes())
        header.pop("__metadata__", None)
        self.arrays = {name: self._array(8 + size, table) for name, table in header.items()}
        check = self.about.pop(CHECK, None)
        if check != check_sum(self.arrays, self.about):
            state = "missing" if check is None else "wrong"
            raise MdnnError(f"{path} is damaged: its checksum is {state}")
        self.forget_pages()

    def _array(self, start, table):
        if table["dtype"] not in _DTYPES:
            raise MdnnError(
                f"{self.path}: expected arrays of {', '.join(_DTYPES)}, received {table['dtype']}"
            )
        first, last = (start + offset for offset in table["data_offsets"])
        return self._file[first:last].view(_DTYPES[table["dtype"]]).reshape(table["shape"])

    def forget_pages(self):
        """Gives the memory of what was read back to the system, which reads it again if needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
