"""Validates grids, axes and weights of the paper's layers."""

from operator import index

import numpy as np

from mdnn.errors import MdnnError


def known_word(name, word, words):
    """Returns `word`, or raises `MdnnError` if it is not one of `words`.

    Args:
        name: str, the argument, for errors.
        word: its value.
        words: sequence of str, the allowed values.
    """
    if not isinstance(word, str) or word not in words:
        raise MdnnError(f"Expected `{name}` to be one of {', '.join(words)}. Received: {word!r}")
    return word


def positive_size(name, size):
    """Returns a positive size as an int, or raises `MdnnError`."""
    try:
        number = 0 if isinstance(size, bool) else index(size)
    except TypeError:
        number = 0
    if number < 1:
        raise MdnnError(f"Expected `{name}` to be a whole number from 1 up. Received: {size!r}")
    return number


def check_grid(shape):
    """Returns the grid `[d1, …, dn]` as a tuple of ints, or raises `MdnnError`."""
    try:
        grid = tuple(index(d) for d in shape)
    except TypeError:
        grid = ()
    if not grid or min(grid) < 1:
        raise MdnnError(
            "Expected `shape` to be the sizes of one axis or more, whole numbers from 1 up, "
            f"without the batch. Received: {shape!r}"
        )
    return grid


def check_axis(axis, n, name):
    """Returns an axis (0 … n-1 or -n … -1) as a negative number, or raises `MdnnError`.

    Args:
        axis: int.
        n: int, number of axes.
        name: str, the argument, for errors.
    """
    try:
        number = index(axis)
    except TypeError:
        number = n
    if isinstance(axis, bool) or not -n <= number < n:
        raise MdnnError(f"Expected `{name}` in {-n} … {n - 1}. Received: {axis!r}")
    return number if number < 0 else number - n


def check_weights(weights, shapes, name="weights"):
    """Checks kernels against their allowed shapes.

    Args:
        weights: Dictionary from the negative axis number to the kernel.
        shapes: Dictionary from each required axis number to a list of allowed shapes.
        name: str, the argument's name in error messages.

    Returns:
        A dictionary from the negative axis number, in rising order, to a numpy array of floats.

    Raises:
        MdnnError: a key is missing or unexpected, or a kernel has another shape or dtype.
    """
    if not isinstance(weights, dict) or set(weights) != set(shapes):
        keys = sorted(weights, key=str) if isinstance(weights, dict) else repr(type(weights))
        raise MdnnError(
            f"Expected `{name}` to be a dictionary with the keys {sorted(shapes)}. Received: {keys}"
        )
    kernels = {}
    for axis in sorted(shapes):
        kernels[axis] = as_kernel(weights[axis], f"{name}[{axis}]")
        if kernels[axis].shape not in shapes[axis]:
            expected = " or ".join(str(list(shape)) for shape in shapes[axis])
            raise MdnnError(
                f"Expected `{name}[{axis}]` of shape {expected}. "
                f"Received: {list(kernels[axis].shape)}"
            )
    return kernels


def as_kernel(value, name):
    """Converts an array, tensor or variable of floats to a numpy array that `.npy` can hold."""
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":
        array = array.astype("float32")
    if not np.issubdtype(array.dtype, np.floating):
        raise MdnnError(f"Expected `{name}` to be of floats. Received: dtype {array.dtype}")
    return array
