"""Reads and writes arrays in safetensors files, with check sums and shape checks."""

import contextlib
import json
import os
import re
import zlib

import keras
import numpy as np
import safetensors
import safetensors.numpy

from mdnn.errors import MdnnError
from mdnn.file_systems import UNSUPPORTED
from mdnn.files import replacing

CHECK = "crc32"
"""Metadata key of the check sum over all other contents of the file."""


def named(variables):
    """Returns variables as a dict from their paths to numpy arrays."""
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in variables}


def write_arrays(path, arrays, about=None):
    """Writes arrays as one safetensors file, atomically.

    Args:
        path: the file.
        arrays: dict from names to arrays.
        about: dict of strings, the metadata; `None` for none.

    Raises:
        OSError: the file cannot be written; an existing file stays unchanged.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    about = dict(about or {})
    about[CHECK] = check_sum(arrays, about)
    with replacing(path) as part:
        try:
            safetensors.numpy.save_file(arrays, part, metadata=about)
        except safetensors.SafetensorError as error:
            # The library's message contains the number of the system's error.
            if found := re.search(r"os error (\d+)", str(error)):
                number = int(found[1])
                if os.name == "nt":
                    # A Windows error number, which Python converts to an errno.
                    raise OSError(0, str(error), str(path), number) from None
                if number not in UNSUPPORTED:
                    raise OSError(number, os.strerror(number), str(path)) from None
                # The library renames a temporary file, which object-store mounts do not support.
                part.write_bytes(safetensors.numpy.save(arrays, metadata=about))
                return
            raise


def read_arrays(path, expected=None):
    """Reads the arrays and the metadata of a safetensors file.

    The library refuses a header that declares more data than the file has, so that arrays take no
    more memory than the size of the file.

    Args:
        path: the file.
        expected: dict from names to `(dtype, shape)`, checked before any array is read; `None`
            for no check.

    Returns:
        Tuple of a dict from names to arrays and a dict of strings, the metadata.

    Raises:
        MdnnError: the file does not exist, is no complete safetensors file, its check sum is
            missing or wrong, or its arrays differ from the expected ones.
    """
    with opened(path) as file:
        about = file.metadata() or {}
        names = list(file.keys())
        if expected is not None:
            found = {name: _spec(file.get_slice(name)) for name in names}
            check_arrays(found, expected, path)
        arrays = {name: file.get_tensor(name) for name in names}
    check = about.pop(CHECK, None)
    if check != check_sum(arrays, about):
        state = "missing" if check is None else "wrong"
        raise MdnnError(f"{path} is damaged: its check sum is {state}")
    return arrays, about


@contextlib.contextmanager
def opened(path):
    """Context manager that opens a safetensors file and raises `MdnnError` on errors."""
    try:
        # Opening a device or a pipe could block forever.
        if os.path.exists(path) and not os.path.isfile(path):
            raise MdnnError(f"{path} is no readable safetensors file: expected a file")
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise MdnnError(f"no weights at {path}") from None
    # TypeError and KeyError come from dtypes that numpy lacks.
    except (OSError, TypeError, KeyError, AttributeError, safetensors.SafetensorError) as error:
        raise MdnnError(f"{path} is no readable safetensors file: {error}") from None


def spec_of(variables):
    """Returns a dict from names of variables to `(dtype, shape)`, for `read_arrays`."""
    return {
        name: (keras.backend.standardize_dtype(variable.dtype), tuple(variable.shape))
        for name, variable in variables.items()
    }


def check_arrays(found, expected, where):
    """Refuses other names, shapes or dtypes than expected.

    Args:
        found, expected: dicts from names to `(dtype, shape)`.
        where: the file, for errors.

    Raises:
        MdnnError: names the first array that is missing, unknown, or of another shape or dtype.
    """
    if missing := sorted(set(expected) ^ set(found)):
        side = "lacks" if missing[0] in expected else "has an unknown"
        raise MdnnError(f"{where} {side} weight {missing[0]!r}")
    for name, (dtype, shape) in expected.items():
        if found[name] != (dtype, shape):
            raise MdnnError(
                f"{where}: expected {name!r} as {dtype} {shape}, found "
                f"{found[name][0]} {found[name][1]}"
            )


def assign(variables, arrays, where):
    """Assigns arrays to the variables whose paths are their names.

    Raises:
        MdnnError: a name, shape or dtype does not fit; then nothing is assigned.
    """
    found = {name: (str(array.dtype), tuple(array.shape)) for name, array in arrays.items()}
    variables = {variable.path: variable for variable in variables}
    check_arrays(found, spec_of(variables), where)
    for name, variable in variables.items():
        variable.assign(arrays[name])


_DTYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BOOL": "bool",
    "BF16": "bfloat16",
}


def _spec(part):
    dtype = part.get_dtype()
    return _DTYPES.get(dtype, dtype), tuple(part.get_shape())


def check_sum(arrays, about):
    """Returns the CRC-32 of arrays and metadata as eight hexadecimal digits."""
    total = zlib.crc32(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        head = f"{name} {array.dtype} {array.shape}"
        total = zlib.crc32(head.encode("utf-8", "surrogatepass"), total)
        total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view("uint8"), total)
    return f"{total:08x}"
