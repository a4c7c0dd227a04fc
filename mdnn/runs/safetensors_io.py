"""Reads and writes arrays in safetensors files, with checksums and shape checks."""

import collections
import contextlib
import json
import math
import os
import zlib

import keras
import numpy as np
import safetensors

from mdnn.errors import MdnnError
from mdnn.files import replacing

CHECK = "crc32"
"""Metadata key of the checksum over all other contents of the file."""


def arrays_by_path(variables):
    """Returns variables as a dict from their paths to numpy arrays."""
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in variables}


def write_arrays(path, arrays, about=None):
    """Writes arrays as one safetensors file, atomically.

    Variables are copied one at a time, twice each: for the checksum, which stands before them in
    the file, and for their values. So a checkpoint takes the memory of its largest variable.

    Args:
        path: the file.
        arrays: dict from names to arrays or variables, which nobody changes meanwhile.
        about: dict of strings, the metadata; `None` for none.

    Raises:
        OSError: the file cannot be written; an existing file stays unchanged.
    """
    arrays = _Copies(arrays)
    about = dict(about or {})
    about[CHECK] = check_sum(arrays, about)
    with replacing(path) as part:
        write_file(part, arrays, about)


class _Copies(collections.abc.Mapping):
    """Makes arrays of variables when they are asked for, and keeps none.

    Args:
        values: dict from names to arrays or variables.

    Attributes:
        specs: dict from the names that were asked for to `(dtype, shape)`.
    """

    def __init__(self, values):
        self.values_by_name, self.specs = values, {}

    def __getitem__(self, name):
        value = self.values_by_name[name]
        if not isinstance(value, (np.ndarray, np.generic)):
            value = keras.ops.convert_to_numpy(value)
        array = np.asarray(value, order="C")
        self.specs[name] = str(array.dtype), array.shape
        return array

    def __iter__(self):
        return iter(self.values_by_name)

    def __len__(self):
        return len(self.values_by_name)


def write_file(path, arrays, about):
    """Writes a safetensors file as the package does, array by array.

    Args:
        path: the file.
        arrays: `_Copies`, whose `specs` are known.
        about: dict of strings, the metadata.
    """
    stored = {dtype: code for code, dtype in _DTYPES.items()}
    sizes = {
        name: np.dtype(dtype).itemsize * math.prod(shape)
        for name, (dtype, shape) in arrays.specs.items()
    }
    # Large numbers first: so each is stored at a multiple of its size.
    order = sorted(arrays, key=lambda name: (-np.dtype(arrays.specs[name][0]).itemsize, name))
    header, end = {"__metadata__": about}, 0
    for name in order:
        dtype, shape = arrays.specs[name]
        offsets = [end, end + sizes[name]]
        header[name] = {"dtype": stored[dtype], "shape": shape, "data_offsets": offsets}
        end += sizes[name]
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in order:
            file.write(bytes_of(arrays[name]))


def bytes_of(array):
    """Returns the bytes of an array as they are stored, without a copy where they lie in order."""
    return np.ascontiguousarray(array).reshape(-1).view("uint8")


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
        MdnnError: the file does not exist, is not a complete safetensors file, its checksum is
            missing or wrong, or its arrays differ from the expected ones.
    """
    with StoredArrays(path, expected) as arrays:
        return dict(arrays), arrays.about


class StoredArrays(collections.abc.Mapping):
    """The arrays of a safetensors file, each of which is read when it is asked for.

    The file stays open, so that it may be replaced or removed meanwhile.

    Args:
        path, expected: see `read_arrays`.

    Attributes:
        specs: dict from names to `(dtype, shape)`.
        about: dict of strings, the metadata.

    Raises:
        MdnnError: see `read_arrays`.
    """

    def __init__(self, path, expected=None):
        with opened(path) as file:
            # The package checks the header: sizes, offsets, shapes.
            self.about = file.metadata() or {}
            self.specs = {name: _spec(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
            if expected is not None:
                check_arrays(self.specs, expected, path)
            for dtype, _ in self.specs.values():
                np.dtype(dtype)
            self.path, self._file = path, open(path, "rb")  # noqa: SIM115 - closed by `close`
        try:
            size = int.from_bytes(self._file.read(8), "little")
            header = json.loads(self._file.read(size))
            self._starts = {name: 8 + size + header[name]["data_offsets"][0] for name in self.specs}
            check = self.about.pop(CHECK, None)
            if check != check_sum(self, self.about):
                state = "missing" if check is None else "wrong"
                raise MdnnError(f"{path} is damaged: its checksum is {state}")
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name):
        dtype, shape = self.specs[name]
        array = np.empty(shape, dtype)
        self._file.seek(self._starts[name])
        if self._file.readinto(bytes_of(array)) != array.nbytes:
            raise MdnnError(f"{self.path} is damaged: it ends in {name!r}")
        return array

    def __iter__(self):
        return iter(self.specs)

    def __len__(self):
        return len(self.specs)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Closes the file."""
        self._file.close()


@contextlib.contextmanager
def opened(path):
    """Context manager that opens a safetensors file and raises `MdnnError` on errors."""
    try:
        # Opening a device or a pipe could block forever.
        if os.path.exists(path) and not os.path.isfile(path):
            raise MdnnError(f"{path} is not a readable safetensors file: expected a file")
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise MdnnError(f"no weights at {path}") from None
    # TypeError and KeyError come from dtypes that numpy lacks.
    except (OSError, TypeError, KeyError, AttributeError, safetensors.SafetensorError) as error:
        raise MdnnError(f"{path} is not a readable safetensors file: {error}") from None


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

    Args:
        variables: list of variables.
        arrays: dict from names to arrays, or `StoredArrays`.
        where: the file, for errors.

    Raises:
        MdnnError: a name, shape or dtype does not fit; then nothing is assigned.
    """
    found = specs_of(arrays)
    variables = {variable.path: variable for variable in variables}
    check_arrays(found, spec_of(variables), where)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def specs_of(arrays):
    """Returns a dict from the names of arrays to `(dtype, shape)`.

    Args:
        arrays: dict from names to arrays, or `StoredArrays`, of which none is read.
    """
    if isinstance(arrays, StoredArrays):
        return arrays.specs
    return {name: (str(array.dtype), tuple(array.shape)) for name, array in arrays.items()}


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
        total = zlib.crc32(bytes_of(array), total)
    return f"{total:08x}"
