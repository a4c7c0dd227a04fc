"""Loads the library of products along axes and calls it from the current backend."""

import ctypes
import functools
import importlib
import mmap

import keras

from mdnn.machine import cores
from mdnn.native import native_build
from mdnn.native.native_setting import native_word

_MODULES = {"tensorflow": "mdnn.native.axis_operations", "jax": "mdnn.native.axis_targets"}


def axis_library_path():
    """Returns the path of the library that was built from these sources; `None` without one.

    A library beside the package, built when it was installed, comes before the one in the user's
    cache, which `mdnn build-native` makes.
    """
    for path in (*native_build.packaged_axis_libraries(), native_build.library_path("axes")):
        if path.is_file() and _is_current(str(path), path.stat().st_mtime_ns):
            return path
    return None


@functools.lru_cache(maxsize=8)
def _is_current(path, changed):
    """Returns whether a library was built from these sources, by the number in the file.

    It is read before the library is loaded: TensorFlow cannot forget operations.
    """
    marker = f"mdnn_axis_sources={native_build.sources_number('axes')}ULL".encode()
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(marker) >= 0
    except (OSError, ValueError):
        return False


def open_library(path):
    """Returns a library as a `ctypes.CDLL`; `None` if it cannot be loaded.

    TensorFlow finds the operations of a library that it loads before anybody else: otherwise call
    `loaded_library`.
    """
    try:
        library = ctypes.CDLL(path)
        library.mdnn_axis_instruction_set.restype = ctypes.c_char_p
        library.mdnn_axis_threads.argtypes = [ctypes.c_int32]
    except (OSError, AttributeError):
        return None
    return library


def loaded_library():
    """Returns the library, loaded by the backend, as a `ctypes.CDLL`; `None` without one."""
    path, backend = axis_library_path(), keras.backend.backend()
    if path is None:
        return None
    if backend not in _MODULES:
        return open_library(str(path))
    calls = _calls(str(path), backend)
    return None if calls is None else calls.library


@functools.lru_cache(maxsize=2)
def _calls(path, backend):
    """Returns the functions of the backend that call the library; `None` if it does not load."""
    module = importlib.import_module(_MODULES[backend])
    return module.load_calls(path)


def calls_for(x):
    """Returns the functions that call the native library for a tensor.

    Args:
        x: tensor `[batch, d1, ..., dn]` of the current backend, to multiply along its axes.

    Returns:
        Object with the method `products(x, kernels, passes, batch)`, see
        `mdnn.native.axis_operations.AxisOperations`; `None` if the library is not built or not
        wanted, and for tensors on accelerators, of other dtypes and in graphs that must not hold
        native operations (see `mdnn.native.native_setting`).
    """
    backend = keras.backend.backend()
    if backend not in _MODULES or native_word() == "off":
        return None
    path = axis_library_path()
    calls = None if path is None else _calls(str(path), backend)
    return calls if calls is not None and calls.takes(x) else None


def axis_library_facts():
    """Describes the library for `mdnn inspect` and `mdnn build-native`.

    Returns:
        dict with `library` (its path, or `None`), `instructions` (or `None`) and `why_not`, a
        sentence if layers do not use it, else `None`.
    """
    path, library = axis_library_path(), loaded_library()
    why = None
    if native_word() == "off":
        why = "MDNN_NATIVE_LAYERS is off"
    elif path is None:
        why = "the native library is not built (mdnn build-native)"
    elif library is None:
        why = f"{path} cannot be loaded"
    elif keras.backend.backend() not in _MODULES:
        why = f"the backend is {keras.backend.backend()}"
    return {
        "library": None if path is None else str(path),
        "instructions": None if library is None else library.mdnn_axis_instruction_set().decode(),
        "why_not": why,
    }


def set_threads(library, threads):
    """Sets the largest number of threads of a call; 0 for all cores of this process."""
    library.mdnn_axis_threads(threads or cores())
