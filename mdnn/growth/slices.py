"""Takes the weights of a smaller network out of those of a larger one: growing in reverse."""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.growth.network_growth import network_origins
from mdnn.growth.origins import NEW, Origin


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """Location of a smaller network's weight in a weight of a larger one.

    Attributes:
        source: the larger network's variable.
        index: int64 array of the smaller shape, flat indices into `source`; `NEW` for values that
            the larger network does not have.
        runs: list with one entry per axis of `source`: a list of pairs `(start, stop)`, or `None`
            for the whole axis; `None` in place of the list if the values are not block.
    """

    source: Any
    index: Any
    runs: Any

    def taken(self, value):
        """Returns the smaller weight from the values of the larger one, a tensor.

        Contiguous blocks are sliced, not gathered, so that gradients are dense.
        """
        if self.runs is None:
            return ops.take(ops.reshape(value, (-1,)), self.index)
        for axis, runs in enumerate(self.runs):
            if runs is None:
                continue
            lead = (slice(None),) * axis
            pieces = [value[(*lead, slice(start, stop))] for start, stop in runs]
            value = pieces[0] if len(pieces) == 1 else ops.concatenate(pieces, axis=axis)
        return ops.reshape(value, self.index.shape)

    def values(self, array, initial):
        """Returns the smaller weight as an array.

        Args:
            array: the values of the larger one.
            initial: array of the smaller shape, the values where there is nothing to take.
        """
        taken = np.asarray(array).reshape(-1)[np.maximum(self.index, 0)]
        return np.where(self.index == NEW, initial, taken).astype(initial.dtype)


def weight_slices(small, large, exact=True):
    """Returns the locations of a smaller network's weights in a larger one.

    Args:
        small, large: `mdnn.models.network.Network`.
        exact: bool; `False` also takes weights out where `mdnn grow` could not put them back
            so that the scores stay the same.

    Returns:
        Dict from the paths of the small network's weights to `Slice`s.

    Raises:
        MdnnError: the small network could not grow into the large one, or kernels of several
            groups or positions would have to become one.
    """
    origins, found = network_origins(small, large, exact), {}
    for weight in large.weights:
        origin = origins[weight.path]
        if origin.source is None:
            continue
        # Among copies, the one of the same name counts.
        if origin.source.path in found and weight.path != origin.source.path:
            continue
        if origin.parts > 1:
            raise MdnnError(f"{weight.path}: different kernels cannot become one")
        found[origin.source.path] = _slice(origin, weight)
    return {weight.path: found[weight.path] for weight in small.weights}


def slice_origins(slices):
    """Returns the origins of a smaller network's weights in a larger one.

    Args:
        slices: result of `weight_slices`.

    Returns:
        Dict from the paths of the small network's weights to `mdnn.growth.origins.Origin`s: of
        values that are kept, the optimizer's moments are kept, too.
    """
    return {path: Origin(one.source, one.index) for path, one in slices.items()}


def _slice(origin, weight):
    flat = np.asarray(origin.index).reshape(-1)
    known = np.flatnonzero(flat != NEW)
    index = np.full(int(np.prod(origin.source.shape)), NEW, "int64")
    # Backwards: where copies were made, the first one counts.
    index[flat[known][::-1]] = known[::-1]
    index = index.reshape(tuple(origin.source.shape))
    return Slice(weight, index, _runs(index, tuple(weight.shape)))


def _runs(index, shape):
    """Returns `Slice.runs`."""
    if (index == NEW).any() or index.ndim > len(shape):
        return None
    index = index.reshape((1,) * (len(shape) - index.ndim) + index.shape)
    found = []
    for axis, places in enumerate(np.unravel_index(index, shape)):
        line = places[tuple(slice(None) if a == axis else 0 for a in range(len(shape)))]
        if (places != line.reshape([-1 if a == axis else 1 for a in range(len(shape))])).any():
            return None
        breaks = np.flatnonzero(np.diff(line) != 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(line, breaks)]
        found.append(None if runs == [(0, shape[axis])] else runs)
    return found


def take_weights(slices, small, values=None):
    """Assigns the values of a larger network to a smaller one.

    Args:
        slices: result of `weight_slices`.
        small: the smaller network.
        values: dict from the paths of the larger network's weights to arrays; `None` for the
            values that they hold.
    """
    for weight in small.weights:
        one = slices[weight.path]
        array = one.source if values is None else values[one.source.path]
        array = ops.convert_to_numpy(array)
        weight.assign(one.values(array, np.array(ops.convert_to_numpy(weight))))
