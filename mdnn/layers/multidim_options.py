"""What the words for sharing and resizing mean on an input of a given shape."""

from collections.abc import Mapping
from numbers import Integral

from mdnn.layers.axes import normalize_axes, normalize_axis

SHARING = ("separate", "shared", "tied")


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


def _check_size(size, units):
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
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
    """Finds the output size of each resized axis.

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
