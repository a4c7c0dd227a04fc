"""Loads the native library, if it is built."""

import ctypes
import functools

from mdnn.kernels.structures import CMatrix, CPlan, CSampling
from mdnn.native import native_build

_FLOATS = ctypes.POINTER(ctypes.c_float)
_INTS = ctypes.POINTER(ctypes.c_int32)
_BYTES = ctypes.POINTER(ctypes.c_uint8)
_I = ctypes.c_int32

_FUNCTIONS = {
    "mdnn_sources": (ctypes.c_uint64, []),
    "mdnn_instruction_set": (ctypes.c_char_p, []),
    "mdnn_use_set": (_I, [ctypes.c_char_p]),
    "mdnn_group_new": (ctypes.c_void_p, [ctypes.POINTER(CPlan), _I, _I, _I]),
    "mdnn_group_free": (None, [ctypes.c_void_p]),
    "mdnn_text_start": (None, [ctypes.c_void_p, _I, _INTS, _I, ctypes.POINTER(CSampling)]),
    "mdnn_group_write": (None, [ctypes.c_void_p, _I, _BYTES, _INTS]),
    "mdnn_evaluate": (None, [ctypes.c_void_p, _INTS, _INTS, _I, _FLOATS, _FLOATS, _I]),
    "mdnn_product": (None, [ctypes.POINTER(CMatrix), _FLOATS, _I, _FLOATS, _I]),
    "mdnn_pack_halves": (None, [ctypes.c_void_p, _I, _I, _I, ctypes.c_void_p, _I]),
    "mdnn_pack_lines": (None, [ctypes.c_void_p, _I, _I, _I, ctypes.c_void_p, _I]),
    "mdnn_pack_int4": (None, [_BYTES, _I, _I, ctypes.POINTER(ctypes.c_uint32)]),
}


def native_library():
    """Returns the library as a `ctypes.CDLL`, or `None` if none is built from these sources.

    A library beside the package, built when it was installed, comes before the one in the user's
    cache, which `mdnn build-native` makes.
    """
    for path in (*native_build.packaged_libraries(), native_build.library_path()):
        if path.is_file() and (library := _loaded(str(path), path.stat().st_mtime_ns)):
            return library
    return None


@functools.lru_cache(maxsize=8)
def _loaded(path, changed):
    """Loads a library; `None` if it does not load or is built from other sources."""
    try:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    if library.mdnn_sources() != native_build.sources_number():
        return None
    return library


def floats(array):
    """Returns the pointer to a contiguous float32 array."""
    return array.ctypes.data_as(_FLOATS)


def int32_pointer(array):
    """Returns the pointer to a contiguous int32 array."""
    return array.ctypes.data_as(_INTS)


def byte_pointer(array):
    """Returns the pointer to a contiguous array of bytes."""
    return array.ctypes.data_as(_BYTES)
