"""Functions of single positions, computed for a slab of the positions at a time."""

import itertools
import math

import keras
from keras import ops


def count_slabs(positions, slab):
    """Returns the number of slabs of at most `slab` positions; 1 if `slab` is 0."""
    return -(-positions // slab) if slab else 1


def in_slabs(function, tensors, slab, remat=False):
    """Applies a function of single positions to slabs of a context, one after another.

    No intermediate value of the function exists for all positions at once. With `remat` gradients
    recompute them, slab by slab, so that of each slab only inputs and outputs are stored.

    Args:
        function: maps tensors `[batch, n, ...]` to a tensor `[batch, n, ...]`, or to a tuple of
            such tensors, each position on its own, for any n.
        tensors: list of tensors `[batch, positions, ...]` with a known number of positions.
        slab: int, largest number of positions of a slab; 0: all positions in one slab.
        remat: boolean, whether gradients recompute the function; ignored for a single slab. The
            function must not draw random numbers.

    Returns:
        The function's result for all positions.
    """
    positions = tensors[0].shape[1]
    count = count_slabs(positions, slab)
    if count == 1:
        return function(*tensors)
    if remat:
        function = keras.remat(function)
    borders = [positions * k // count for k in range(count + 1)]
    results = [
        function(*(x[:, first:last] for x in tensors))
        for first, last in itertools.pairwise(borders)
    ]
    if not isinstance(results[0], (tuple, list)):
        return ops.concatenate(results, axis=1)
    return tuple(ops.concatenate(column, axis=1) for column in zip(*results, strict=True))


def grid_in_slabs(function, grids, slab, remat=False):
    """Applies a function of single positions to grids `[batch, t1, ..., tk, channels]`.

    Args:
        function, slab, remat: see `in_slabs`; the results have a single axis of channels.
        grids: list of tensors of the same grid.

    Returns:
        The function's result on that grid, a tensor or a tuple.
    """
    sizes = tuple(grids[0].shape[1:-1])
    # Grids of unknown size are those of puzzles, which are small.
    positions = 0 if None in sizes else math.prod(sizes)
    if count_slabs(positions, slab) <= 1:
        return function(*grids)
    flat = [ops.reshape(x, (-1, positions, x.shape[-1])) for x in grids]
    results = in_slabs(function, flat, slab, remat)
    if not isinstance(results, tuple):
        return ops.reshape(results, (-1, *sizes, results.shape[-1]))
    return tuple(ops.reshape(x, (-1, *sizes, x.shape[-1])) for x in results)
