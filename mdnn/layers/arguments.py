"""Validates and normalizes the arguments of layers that mix axes.

Axes are numbered as in Keras: the batch is axis 0, negative axes count from the end.
"""

from collections.abc import Mapping
from numbers import Integral
from operator import index

SHARING = ("separate", "shared", "tied")


def normalize_axis(axis, ndim, name="axis"):
    """Converts one axis of a `[batch, d1, ..., dn]` array to its non-negative number.

    Args:
        axis: int, an axis of the array other than the batch; negative from the end.
        ndim: int, the number of axes of the array, including the batch.
        name: str, the argument's name in error messages.

    Returns:
        An int in `1 .. ndim - 1`.

    Raises:
        ValueError: `axis` is not an integer, is out of range or is the batch axis.
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
    """Converts axes of a `[batch, d1, ..., dn]` array to a tuple of non-negative numbers.

    Args:
        axes: int, or iterable of integers in any order, or `None` for all but the batch.
        ndim: int, the number of axes of the array, including the batch.
        name: str, the argument's name in error messages.

    Returns:
        A tuple of ints in `1 .. ndim - 1`, in the order of `axes`.

    Raises:
        ValueError: an axis is not an integer, out of range, the batch axis or repeated.
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
    """Validates `axes` and returns it as `None`, an int or a list of ints.

    Raises:
        ValueError: `axes` has another type.
    """
    if axes is None:
        return None
    if isinstance(axes, Integral) and not isinstance(axes, bool):
        return int(axes)
    if isinstance(axes, (list, tuple, range)) and is_axes(axes):
        return [int(axis) for axis in axes]
    raise ValueError(f"Expected `axes` to be an integer or a list of integers. Received: {axes!r}")


def is_axes(value):
    """Returns whether a `sharing` value is a sequence of axes (not a word or a list per axis)."""
    return isinstance(value, (list, tuple, range)) and all(
        isinstance(item, Integral) and not isinstance(item, bool) for item in value
    )


def check_sharing(sharing):
    """Validates `sharing` and returns it in a form that JSON can hold.

    Args:
        sharing: a word of `SHARING`; a sequence of integers: the axes over which kernels differ;
            or a sequence of one such word or sequence per named axis.

    Returns:
        A string, a list of ints, or a list of strings and lists of ints.

    Raises:
        ValueError: `sharing` has another form.
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
    """Maps each named axis to the axes over which its kernels differ.

    Args:
        sharing: the result of `check_sharing`.
        axes: tuple of ints, the named axes, non-negative.
        ndim: int, the input's number of axes, including the batch.

    Returns:
        A dict from each named axis to `"tied"` or to an increasing tuple of the other axes over
        which its kernels differ.

    Raises:
        ValueError: there is not one entry per axis, or an axis is invalid.
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
    """Checks that an option is set if and only if the wiring includes its word."""
    if named and value is None:
        raise ValueError(f"Expected `{name}` with {word} wiring. Received: None")
    if not named and value is not None:
        raise ValueError(f"Expected `{name}` only with {word} wiring. Received: {value!r}")


def check_window(window, local):
    """Validates `window` and returns it as `None`, an int or a list of ints.

    Args:
        window: int, sequence of integers or `None`.
        local: bool, whether the wiring includes `"local"`.
    """
    _check_word("window", window, "local", local)
    windows = window if isinstance(window, (list, tuple)) else [window]
    if local and not all(_is_int(w) and w >= 0 for w in windows):
        raise ValueError(
            "Expected `window` to be a non-negative integer or one per named axis. "
            f"Received: {window!r}"
        )
    return list(window) if isinstance(window, (list, tuple)) else window


def check_random(density, seed, random):
    """Validates and returns `density` and `seed`.

    Args:
        density: float in 0 .. 1, or `None`.
        seed: int in `0 .. 2**32 - 1`, or `None`.
        random: bool, whether the wiring includes `"random"`.
    """
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
    """Validates `units` and returns it as `None`, an int, a list, or a dict with string keys.

    Raises:
        ValueError: a size is not a positive integer or a key is not an integer.
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
    """Maps each resized axis to its output size.

    Args:
        units: the result of `check_units`.
        axes: tuple of ints, the named axes, non-negative.
        ndim: int, the input's number of axes, including the batch.

    Returns:
        A dict from axes in `axes` to sizes; axes that keep their size are missing.

    Raises:
        ValueError: `units` does not match the named axes.
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
    """Copies an option into plain lists and dicts, without the tracking wrappers of Keras."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def axis_before_channels(axis, shape, name):
    """Returns an axis as a non-negative number; refuses the last one, which holds the channels.

    Args:
        axis: int, an axis of the input.
        shape: tuple, the input's shape.
        name: str, the layer's name, for errors.

    Raises:
        ValueError: the axis is out of range or the last one.
    """
    number = normalize_axis(axis, len(shape), "axis")
    if number == len(shape) - 1:
        raise ValueError(
            f"Expected `axis` of {name!r} to be other than the last, which holds the channels. "
            f"Received: axis={axis}, input_shape={tuple(shape)}"
        )
    return number
