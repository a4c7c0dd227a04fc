"""Axes as Keras counts them: the batch is axis 0, negative axes count from the end."""

from operator import index


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
