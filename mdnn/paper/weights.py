"""Reads, writes and doubles the weights of the paper's layers.

A grid `[d1, …, dn]` has n kernels. In memory they are a dictionary from the negative number of an
axis (-n … -1) to its kernel; on disk `axis_0.npy` is axis -n and `axis_{n-1}.npy` is axis -1.
A kernel is `[d, o]` (`shared`) or `[d1, …, dn, o]` (`separate`): the last index is the output
position along the axis, the others are the input position.
"""

import math
import os
import re

import numpy as np

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.paper.weight_checks import as_kernel, check_axis, check_grid, check_weights


def load_weights(folder):
    """Reads the kernels of all axes from `axis_0.npy … axis_{n-1}.npy`.

    Args:
        folder: path of the folder with the files. Other files are ignored.

    Returns:
        A dictionary from the negative axis number (-n … -1) to the stored kernel, a numpy array of
        floats of shape `[d, o]` or `[d1, …, dn, o]`.

    Raises:
        MdnnError: the folder or a file is missing, a file is not a plain array of floats, or
            the shapes of the kernels do not match.

    Example:

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights({-2: np.eye(3), -1: np.eye(4)}, folder)
    ...     print({axis: kernel.shape for axis, kernel in load_weights(folder).items()})
    {-2: (3, 3), -1: (4, 4)}
    """
    folder = as_path(folder, "folder")
    if not folder.is_dir():
        raise MdnnError(f"Expected a folder with axis_0.npy …; {folder} is not a folder.")
    matches = (re.fullmatch(r"axis_(0|[1-9]\d*)\.npy", path.name) for path in folder.iterdir())
    numbers = {int(match[1]) for match in matches if match}
    n = max(numbers, default=0) + 1
    missing = [f"axis_{i}.npy" for i in range(n) if i not in numbers]
    if missing:
        raise MdnnError(f"Expected axis_0.npy … without gaps in {folder}; missing: {missing}.")
    weights = {i - n: _read(folder / f"axis_{i}.npy") for i in range(n)}
    return _check_together(weights, f"{folder}: weights")


def save_weights(weights, folder):
    """Writes the kernels of all axes as `axis_0.npy … axis_{n-1}.npy`.

    Files are written under temporary names and then renamed, so no file is left incomplete.

    Args:
        weights: Dictionary from the negative axis number (-n … -1, all of them) to the kernel, an
            array, tensor or Keras variable of floats of shape `[d, o]` or `[d1, …, dn, o]`.
            bfloat16, which `.npy` does not support, is stored as float32.
        folder: path of the folder to write to; created if missing.

    Raises:
        MdnnError: the keys are not -n … -1, a kernel does not contain floats, the shapes of the
            kernels do not match, the folder has kernels of more axes, or writing fails.
    """
    folder = as_path(folder, "folder")
    n = len(weights)
    if n == 0 or set(weights) != set(range(-n, 0)):
        keys = sorted(weights, key=str)
        raise MdnnError(f"Expected weights with one key per axis, -n … -1; received keys {keys}.")
    weights = {axis: as_kernel(weights[axis], f"weights[{axis}]") for axis in range(-n, 0)}
    weights = _check_together(weights, "weights")
    if (folder / f"axis_{n}.npy").exists():
        raise MdnnError(
            f"Expected a folder for the weights of {n} axes; {folder} holds axis_{n}.npy, which "
            "would be read as one of them. Remove the old files first."
        )
    names = {axis: f"axis_{n + axis}.npy" for axis in weights}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for axis, kernel in weights.items():
                with open(folder / f".{names[axis]}.tmp", "wb") as file:
                    np.save(file, kernel, allow_pickle=False)
            for name in names.values():
                os.replace(folder / f".{name}.tmp", folder / name)
        finally:
            for name in names.values():
                (folder / f".{name}.tmp").unlink(missing_ok=True)
    except OSError as error:
        raise MdnnError(f"Could not write weights to {folder}: {error.strerror}.") from error


def double(weights, shape, axis=None):
    """Doubles the size of one axis: the result is two independent copies of the old network.

    Separate kernels of the other axes are repeated along the doubled axis; shared ones are copied.
    The kernel of the doubled axis becomes block-diagonal with two copies of the old kernel (as in
    the paper's doubling script).

    Args:
        weights: Dictionary from the negative axis number (-n … -1) to the kernel, of shape
            `[d, o]` or `[d1, …, dn, o]`.
        shape: ints `[d1, …, dn]`, the grid of these weights.
        axis: int, the axis to double, as an index into `shape`. `None` for the first axis that
            is smaller than the next one.

    Returns:
        `(weights, shape)`: a new dictionary of numpy arrays with the same keys, and the new grid,
        a list.

    Raises:
        MdnnError: the weights do not match the shape, the axis is out of range, or `axis` is
            `None` and no axis is smaller than the next one.

    Example:

    >>> import numpy as np
    >>> weights, shape = double({-2: np.ones((1, 2, 1)), -1: np.ones((1, 2, 2))}, [1, 2])
    >>> shape, weights[-2][:, 0].tolist(), weights[-1].shape
    ([2, 2], [[1.0, 0.0], [0.0, 1.0]], (2, 2, 2))
    """
    shape = check_grid(shape)
    n = len(shape)
    weights = check_weights(weights, _shapes(shape))
    if axis is None:
        axis = next((i for i in range(n - 1) if shape[i] < shape[i + 1]), None)
        if axis is None:
            raise MdnnError(
                f"Expected a shape with an axis smaller than the next one; received {list(shape)}."
                " Name the axis to double with `axis`."
            )
    axis = check_axis(axis, n, "axis")
    doubled = {}
    for number, kernel in weights.items():
        if number == axis:
            # Double both the input index (d) and the output index (o, the last).
            source = axis - 1 if kernel.ndim == n + 1 else 0
            zeros = np.zeros_like(kernel)
            first = np.concatenate([kernel, zeros], axis=-1)
            second = np.concatenate([zeros, kernel], axis=-1)
            doubled[number] = np.concatenate([first, second], axis=source)
        elif kernel.ndim == n + 1:
            doubled[number] = np.concatenate([kernel, kernel], axis=axis - 1)
        else:
            doubled[number] = kernel.copy()
    return doubled, [2 * d if i - n == axis else d for i, d in enumerate(shape)]


def _shapes(grid):
    """Returns the allowed kernel shapes (shared, separate) of each axis of a grid."""
    return {i - len(grid): [(d, d), (*grid, d)] for i, d in enumerate(grid)}


def _check_together(weights, name):
    """Checks that the shapes of kernels belong to one grid."""
    n = len(weights)
    for axis, kernel in weights.items():
        if kernel.ndim not in (2, n + 1):
            raise MdnnError(
                f"Expected `{name}[{axis}]` of 2 (shared) or {n + 1} (separate) axes with "
                f"kernels of {n} axes. Received: shape {list(kernel.shape)}"
            )
    if n == 1:  # a single axis may be resized
        return weights
    separate = [kernel.shape[:-1] for kernel in weights.values() if kernel.ndim == n + 1]
    grid = separate[0] if separate else [kernel.shape[0] for kernel in weights.values()]
    return check_weights(weights, _shapes(grid), name)


def _read(path):
    try:
        if not path.is_file():
            raise OSError("not a file")
        with open(path, "rb") as file:
            _check_size(file)
            file.seek(0)
            array = np.load(file, allow_pickle=False)
    except Exception as error:  # the header is parsed as Python and may raise any exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MdnnError(f"Expected a plain numpy array in {path}: {reason}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise MdnnError(f"Expected one plain numpy array in {path}. Received: an archive of them")
    return as_kernel(array, str(path))


def _check_size(file):
    """Refuses a header that declares more data than the file has, before numpy allocates it."""
    if file.read(6) != b"\x93NUMPY":
        return
    file.seek(0)
    readers = {(1, 0): np.lib.format.read_array_header_1_0}
    readers[2, 0] = np.lib.format.read_array_header_2_0
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"expected format (1, 0) or (2, 0), received {version}")
    shape, _, dtype = readers[version](file)
    num_bytes = os.fstat(file.fileno()).st_size - file.tell()
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > num_bytes:
        raise ValueError(
            f"the header declares {list(shape)} of {dtype}, the file has {num_bytes:,} bytes"
        )
