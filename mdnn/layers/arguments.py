"""The arguments of layers over axes: checked, and brought to one form for an input's shape.

Axes are counted as Keras does: the batch is axis 0, negative axes count from the end.
"""

from collections.abc import Mapping
from numbers import Integral
from operator import index

SHARING = ("separate", "shared", "tied")


def normalize_axis(axis, ndim, name="axis"):
    """Turns one axis of a `[batch, d1, ..., dn]` array into its non-negative number.

    Args:
        axis: Integer, an axis of the array other than the batch; negative from the end.
        ndim: Integer, the number of axes of the array, the batch included.
        name: String, what to call the axis in an error.

    Returns:
        An int in `1 .. ndim - 1`.

    Raises:
        ValueError: If `axis` is no integer, out of range or the batch axis.
    """
    try:
        if isinstance(axis, bool):
            raise TypeError
        number = index(axis)
    except TypeError:
        raise ValueError(f"Expected `{name}` to be an integer. Received: {axis!r}") from None
    if not -ndim <= number < ndim:
        raise ValueError(
            f"Expected `{name}` in {1 - ndim} .. {ndim - 1} for an input of {ndim} axes "
            f"(batch included). Received: {axis}"
        )
    number %= ndim
    if number == 0:
        raise ValueError(
            f"Expected `{name}` to be other than the batch axis of an input of {ndim} axes. "
            f"Received: {axis}"
        )
    return number


def normalize_axes(axes, ndim, name="axes"):
    """Turns axes of a `[batch, d1, ..., dn]` array into a tuple of non-negative numbers.

    Args:
        axes: Integer, or iterable of integers in any order, or `None` for all but the batch.
        ndim: Integer, the number of axes of the array, the batch included.
        name: String, what to call the axes in an error.

    Returns:
        A tuple of ints in `1 .. ndim - 1`, in the order given.

    Raises:
        ValueError: If an axis is no integer, out of range, the batch axis or named twice.
    """
    if axes is None:
        return tuple(range(1, ndim))
    if not isinstance(axes, (list, tuple, set, frozenset, range)):
        axes = (axes,)
    numbers = tuple(normalize_axis(axis, ndim, name) for axis in axes)
    if len(set(numbers)) != len(numbers):
        raise ValueError(
            f"Expected `{name}` to name each axis of an input of {ndim} axes once. "
            f"Received: {tuple(axes)}"
        )
    return numbers


def check_axes(axes):
    """Returns `axes` as `None`, an int or a list of ints.

    Raises:
        ValueError: If `axes` is anything else.
    """
    if axes is None:
        return None
    if isinstance(axes, Integral) and not isinstance(axes, bool):
        return int(axes)
    if isinstance(axes, (list, tuple, range)) and is_axes(axes):
        return [int(axis) for axis in axes]
    raise ValueError(f"Expected `axes` to be an integer or a list of integers. Received: {axes!r}")


def is_axes(value):
    """Whether a value of `sharing` is a sequence of axes, not a word or one value per axis."""
    return isinstance(value, (list, tuple, range)) and all(
        isinstance(item, Integral) and not isinstance(item, bool) for item in value
    )


def check_sharing(sharing):
    """Returns `sharing` with tuples as lists, so that it survives JSON.

    Args:
        sharing: A word of `SHARING`; a sequence of integers: the axes over which kernels differ;
            or a sequence of one such word or sequence per named axis.

    Returns:
        A string, a list of ints, or a list of strings and lists of ints.

    Raises:
        ValueError: If `sharing` is anything else.
    """
    if isinstance(sharing, str) and sharing in SHARING:
        return sharing
    if is_axes(sharing):
        return [int(axis) for axis in sharing]
    if isinstance(sharing, (list, tuple)) and all(
        is_axes(item) or (isinstance(item, str) and item in SHARING) for item in sharing
    ):
        return [item if isinstance(item, str) else [int(axis) for axis in item] for item in sharing]
    raise ValueError(
        f"Expected `sharing` to be one of {', '.join(SHARING)}, a tuple of axes over which "
        f"kernels differ, or a list of one of these per named axis. Received: {sharing!r}"
    )


def sharing_by_axis(sharing, axes, ndim):
    """Finds the axes over which each named axis's kernels differ.

    Args:
        sharing: What `check_sharing` returns.
        axes: Tuple of ints, the named axes, non-negative.
        ndim: Integer, the input's number of axes, the batch included.

    Returns:
        A dict from each named axis to `"tied"` or to an increasing tuple of the other axes over
        which its kernels differ.

    Raises:
        ValueError: If the number of entries is not that of the axes, or an axis is wrong.
    """
    one_for_all = isinstance(sharing, str) or is_axes(sharing)
    entries = [sharing] * len(axes) if one_for_all else sharing
    if len(entries) != len(axes):
        raise ValueError(
            f"Expected `sharing` to have one entry per named axis: {len(axes)} for axes {axes}. "
            f"Received: {sharing!r}"
        )
    result = {}
    for axis, entry in zip(axes, entries, strict=True):
        if entry == "tied":
            result[axis] = "tied"
        elif entry == "shared":
            result[axis] = ()
        elif entry == "separate":
            result[axis] = tuple(a for a in range(1, ndim) if a != axis)
        else:
            over = normalize_axes(entry, ndim, "sharing")
            if axis in over and (not one_for_all or len(axes) == 1):
                raise ValueError(
                    f"Expected `sharing` of axis {axis} to name other axes: a kernel cannot "
                    f"differ along the axis that it mixes. Received: {sharing!r}"
                )
            result[axis] = tuple(sorted(a for a in over if a != axis))
    return result


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _check_word(name, value, word, named):
    """Checks that an option is given just where the wiring has its word."""
    if named and value is None:
        raise ValueError(f"Expected `{name}` with {word} wiring. Received: None")
    if not named and value is not None:
        raise ValueError(f"Expected `{name}` only with {word} wiring. Received: {value!r}")


def check_window(window, local):
    """Returns `window` as `None`, an int or a list of ints; `local`: whether the wiring is."""
    _check_word("window", window, "local", local)
    windows = window if isinstance(window, (list, tuple)) else [window]
    if local and not all(_is_int(w) and w >= 0 for w in windows):
        raise ValueError(
            "Expected `window` to be a non-negative integer or one per named axis. "
            f"Received: {window!r}"
        )
    return list(window) if isinstance(window, (list, tuple)) else window


def check_random(density, seed, random):
    """Returns `density` and `seed`; `random`: whether the wiring is."""
    _check_word("density", density, "random", random)
    _check_word("seed", seed, "random", random)
    if random and (not isinstance(density, (int, float)) or not 0 <= density <= 1):
        raise ValueError(f"Expected `density` in 0 .. 1. Received: {density!r}")
    if random and not (_is_int(seed) and 0 <= seed < 2**32):
        raise ValueError(f"Expected `seed` to be an integer in 0 .. 2**32 - 1. Received: {seed!r}")
    return density, seed


def _check_size(size, units):
    if not _is_int(size) or size < 1:
        raise ValueError(f"Expected `units` to hold positive integers. Received: {units!r}")
    return size


def check_units(units):
    """Returns `units` as `None`, an int, a list, or a dict with string keys as in JSON.

    Raises:
        ValueError: If a size is no positive integer or a key is no integer.
    """
    if units is None:
        return None
    if isinstance(units, Mapping):
        try:
            return {str(int(axis)): _check_size(size, units) for axis, size in units.items()}
        except (TypeError, ValueError):
            raise ValueError(
                f"Expected `units` to map axes to positive integers. Received: {units!r}"
            ) from None
    if isinstance(units, (list, tuple)):
        return [None if size is None else _check_size(size, units) for size in units]
    return _check_size(units, units)


def units_by_axis(units, axes, ndim):
    """Finds the output size of each at_grid_size axis.

    Args:
        units: What `check_units` returns.
        axes: Tuple of ints, the named axes, non-negative.
        ndim: Integer, the input's number of axes, the batch included.

    Returns:
        A dict from axes among the named ones to sizes.

    Raises:
        ValueError: If `units` does not fit the named axes.
    """
    if units is None:
        return {}
    if isinstance(units, Mapping):
        result = {normalize_axis(int(a), ndim, "units"): size for a, size in units.items()}
        if len(result) != len(units) or not set(result) <= set(axes):
            raise ValueError(
                f"Expected `units` to name axes among {axes}, each once. Received: {units!r}"
            )
        return result
    sizes = [units] if isinstance(units, int) else units
    if len(sizes) != len(axes):
        raise ValueError(
            f"Expected `units` to be one size per named axis: {len(axes)} for axes {axes}; or a "
            f"mapping from axes to sizes. Received: {units!r}"
        )
    return {axis: size for axis, size in zip(axes, sizes, strict=True) if size is not None}


def plain(value):
    """Returns an option as plain lists and dicts: Keras tracks those of a layer's attributes."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value
