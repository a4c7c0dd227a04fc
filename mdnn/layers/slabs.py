"""Loops for grids of very many positions: over slabs of positions, over groups of channels."""

import math

import keras
from keras import ops

from mdnn.layers.axis_product import axis_product, is_divided


def count_slabs(positions, slab):
    """Returns the number of slabs of at most `slab` positions; 1 if `slab` is 0."""
    return -(-positions // slab) if slab else 1


def in_slabs(function, tensors, slab, remat=False, weights=()):
    """Applies a function of single positions to slabs of a context, one after another.

    The slabs run in a loop of the backend, one at a time, as do their gradients: no intermediate
    value of the function exists for all positions at once, and the time to compile does not grow
    with the number of slabs. With `remat` gradients recompute the intermediate values, slab by
    slab, so that of each slab only inputs and outputs are stored.

    Args:
        function: maps tensors `[batch, n, ...]` to a tensor `[batch, n, ...]`, or to a tuple of
            such tensors, each position on its own, for any n.
        tensors: list of tensors `[batch, positions, ...]` with a known number of positions.
        slab: int, largest number of positions of a slab; 0: all positions in one slab.
        remat: bool, whether gradients recompute the function; ignored for a single slab. The
            function must not draw random numbers.
        weights: Keras variables that the function uses, all of those that are trained.

    Returns:
        The function's result for all positions.
    """
    positions = tensors[0].shape[1]
    count = count_slabs(positions, slab)
    if count == 1:
        return function(*tensors)
    function = _with_values(function, weights, remat)
    size = -(-positions // count)
    count = positions // size
    border = count * size
    whole = border == positions
    # Slabs of one size run in the loop, the remaining positions outside it. Their result, or that
    # of a single position, defines the shapes and dtypes that the loop writes.
    some = function(*(x[:, :1] if whole else x[:, border:] for x in tensors))
    several = isinstance(some, (tuple, list))
    some = list(some) if several else [some]
    batch = tensors[0].shape[0] or ops.shape(tensors[0])[0]

    def body(_, slabs):
        y = function(*slabs)
        y = list(y) if several else [y]
        return y, y

    # Keras' scan on TensorFlow takes values of the same shape from a step to the next and to the
    # result. Other than `ops.map` it runs one iteration at a time, so that memory is that of one.
    start = [ops.zeros((batch, size, *y.shape[2:]), y.dtype) for y in some]
    _, results = ops.scan(
        body, start, [_slabs_first(x if whole else x[:, :border], size) for x in tensors]
    )
    results = [_positions_first(ys) for ys in results]
    if not whole:
        results = [ops.concatenate(pair, axis=1) for pair in zip(results, some, strict=True)]
    return tuple(results) if several else results[0]


def _with_values(function, weights, remat):
    """Returns a function that computes with the current values of weights, read once, here.

    TensorFlow cannot recompute a function that reads variables inside a loop.
    """
    # Weights that are held as codes are never trained, and multiplied from their codes.
    weights = [weight for weight in weights if not hasattr(weight, "product")]
    # Without the product TensorFlow counts gradients twice where it runs without a graph.
    values = [ops.convert_to_tensor(weight) * 1 for weight in weights]

    def compute(tensors, values):
        with keras.StatelessScope(zip(weights, values, strict=True)):
            return function(*tensors)

    def recomputed(*tensors):
        # TensorFlow warns of integers among the arguments of a recomputed function.
        floats = [k for k, x in enumerate(tensors) if keras.backend.is_float_dtype(x.dtype)]

        def of_floats(chosen, values):
            mixed = list(tensors)
            for k, x in zip(floats, chosen, strict=True):
                mixed[k] = x
            return compute(mixed, values)

        return keras.remat(of_floats)([tensors[k] for k in floats], values)

    return recomputed if remat else lambda *tensors: compute(tensors, values)


def _slabs_first(x, size):
    """Returns `[slabs, batch, size, ...]` of `[batch, slabs * size, ...]`."""
    count = x.shape[1] // size
    if x.shape[0] == 1:
        return ops.reshape(x, (count, 1, size, *x.shape[2:]))
    x = ops.reshape(x, (-1, count, size, *x.shape[2:]))
    return ops.swapaxes(x, 0, 1)


def _positions_first(x):
    """Returns `[batch, slabs * size, ...]` of `[slabs, batch, size, ...]`."""
    count, batch, size, *others = x.shape
    if batch == 1:
        return ops.reshape(x, (1, count * size, *others))
    return ops.reshape(ops.swapaxes(x, 0, 1), (-1, count * size, *others))


def grid_in_slabs(function, grids, slab, remat=False, weights=()):
    """Applies a function of single positions to grids `[batch, t1, ..., tk, channels]`.

    Args:
        function, slab, remat, weights: see `in_slabs`; the results have a single axis of channels.
        grids: list of tensors of the same grid.

    Returns:
        The function's result on that grid, a tensor or a tuple.
    """
    sizes = tuple(grids[0].shape[1:-1])
    # Grids of unknown size are those of puzzles, which are small.
    positions = 0 if None in sizes else math.prod(sizes)
    if count_slabs(positions, slab) <= 1:
        return function(*grids)
    batch = grids[0].shape[0] or -1
    flat = [ops.reshape(x, (batch, positions, x.shape[-1])) for x in grids]
    results = in_slabs(function, flat, slab, remat, weights)
    if not isinstance(results, tuple):
        return ops.reshape(results, (batch, *sizes, results.shape[-1]))
    return tuple(ops.reshape(x, (batch, *sizes, x.shape[-1])) for x in results)


def groups_are_looped(layer, shape):
    """Returns whether `mixed_by_group` computes a layer's terms.

    It does for grids of more positions than the attribute `slab` of the layer, if each group of
    channels, the last but one axis, has its kernels and no other axis has, on one device.

    Args:
        layer: `mdnn.layers.MultidimDense`, built.
        shape: tuple, the input's shape.
    """
    slab, axis = getattr(layer, "slab", 0), len(shape) - 2
    sizes = shape[1:axis]
    if not slab or None in sizes or math.prod(sizes) <= slab or is_divided():
        return False
    steps = [step for term in layer.plan.terms for step in term]
    return all(step.over == (axis,) and step.n_in == step.n_out for step in steps)


def mixed_by_group(x, kernels, mix):
    """Computes the terms of a layer in a loop over groups of channels.

    The inside of a group is recomputed by gradients, so that no product along an axis exists for
    all channels at once. Channels come first in the loop: the product along the fastest axis is
    one of contiguous rows, and those along the others need no transpose.

    Args:
        x: `[batch, t1, ..., tk, groups, channels]`.
        kernels: list of tensors `[groups, n, n]`, in the order in which `mix` takes them.
        mix: function `(x, product)`; combines products, where `product(z, k, axis)` is that of z
            with the k-th kernel along an axis of x.

    Returns:
        Tensor of x's shape.
    """
    *sizes, _, channels = x.shape[1:]
    rank = len(sizes)
    batch = x.shape[0] or ops.shape(x)[0]
    x = ops.transpose(x, (rank + 1, rank + 2, *range(rank + 1)))

    def of_group(x, kernels):
        return mix(x, lambda z, k, axis: axis_product(z, kernels[k], axis + 1))

    recomputed = keras.remat(of_group)

    def body(_, group):
        y = recomputed(*group)
        return y, y

    start = ops.zeros((channels, batch, *sizes), x.dtype)
    _, y = ops.scan(body, start, (x, list(kernels)))
    return ops.transpose(y, (*range(2, rank + 3), 0, 1))
