"""Maps the entries of a kernel along one axis to those of a longer axis."""

import numpy as np

from mdnn.growth.origins import NEW

ZERO = -2
"""Index of an entry that starts at zero, so that what is new reaches nothing that is old."""


def longer_matrix(old, new, old_shift=False, new_shift=False):
    """Returns the old entry of each entry of a longer axis's kernel.

    The old block stands in the corner. An output beyond the old axis takes the weights of the last
    old output, moved along with it. An input beyond it reaches no old output. Kernels by distance
    (`shift`) get weights of zero at the new distances: the old axis is a window of the new one.

    Args:
        old, new: int, sizes of the axis.
        old_shift, new_shift: bool, whether the kernel holds one entry per distance.

    Returns:
        int64 `[new, new]`, or `[2 * new - 1]` with `new_shift`: flat indices into the old kernel,
        or `ZERO`.

    Raises:
        ValueError: a kernel of pairs would become one of distances.
    """
    if new_shift and not old_shift:
        raise ValueError("a kernel without 'shift' cannot become a kernel with 'shift'")
    if new_shift:
        distance = np.arange(1 - new, new)
        return np.where(abs(distance) < old, distance + old - 1, ZERO)
    i, j = np.meshgrid(np.arange(new), np.arange(new), indexing="ij")
    back = (i >= old) & (j < old)
    if old_shift:
        distance = j - i
        return np.where((abs(distance) < old) & ~back, distance + old - 1, ZERO)
    moved = i - np.maximum(j - old + 1, 0)
    inside = (moved >= 0) & (moved < old) & ~back
    return np.where(inside, moved * old + np.minimum(j, old - 1), ZERO)


def channel_matrix(source, width, silent):
    """Returns the old entry of each entry of a kernel along channels.

    Args:
        source: the channel map (see `mdnn.growth.channel_maps`).
        width: int, old number of channels.
        silent: bool; `True`: new channels hold zeros, so that nothing old may reach them, and
            what they reach is free; `False`: new channels are read by nobody after the kernel, so
            that they may reach nothing old.

    Returns:
        int64 `[new, new]`: flat indices, `ZERO`, or `NEW` for an entry that is free.
    """
    i, j = np.meshgrid(source, source, indexing="ij")
    index = np.where((i != NEW) & (j != NEW), i * width + j, NEW)
    if silent:
        return np.where((i != NEW) & (j == NEW), ZERO, index)
    return np.where((i == NEW) & (j != NEW), ZERO, index)


def identity_matrix(size, shift):
    """Returns the kernel of the identity, float32 `[n, n]` or `[2n - 1]`."""
    if shift:
        return (np.arange(1 - size, size) == 0).astype("float32")
    return np.eye(size, dtype="float32")
