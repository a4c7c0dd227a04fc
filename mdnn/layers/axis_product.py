"""The one place where a kernel is applied along an axis."""

import math

from keras import ops

# Fewer values than this behind an axis make a product whose rows are too short to be fast.
LEAST_BEHIND = 16


# The batch goes last where it is so many times as long as the longest mixed axis.
LONG_BATCH = 4


def batch_goes_last(shape, plan):
    """Whether a plan's products are faster with the batch as the last axis.

    Where every position has a kernel of its own, the batch is all that shares one. As the last
    axis it is the contiguous one, and no product moves single values; that pays where the batch
    is long beside the mixed axes (measured by benchmarks/layers.py: 36 became 27 ms on
    16 x 16 x 16 x 16 at batch 64, 1.3 became 2.4 ms on 128 x 128 at batch 8).

    Args:
        shape: Tuple, the input's; an unknown batch stays where it is.
        plan: `Plan`.
    """
    steps = [step for term in plan.terms for step in term]
    alone = all(len(step.over) == len(shape) - 2 > 0 for step in steps)
    longest = max(max(step.n_in, step.n_out) for step in steps)
    return alone and shape[0] is not None and shape[0] >= LONG_BATCH * longest


def batch_to_end(x):
    """`[batch, d1, ..., dn]` as `[d1, ..., dn, batch]`."""
    return ops.transpose(x, (*range(1, len(x.shape)), 0))


def batch_to_front(x):
    """`[d1, ..., dn, batch]` as `[batch, d1, ..., dn]`."""
    last = len(x.shape) - 1
    return ops.transpose(x, (last, *range(last)))


def axis_product(x, kernel, axis, over=()):
    """Multiplies an array by a kernel along one axis.

    `y[..., j at axis, ...] = sum_i x[..., i at axis, ...] * kernel[p, i, j]`, where `p` is the
    position on the axes in `over`.

    Args:
        x: Tensor of any axes.
        kernel: Tensor `[sizes of the axes in over..., n_in, n_out]`, of x's dtype.
        axis: Integer, the axis to mix.
        over: Increasing tuple of the other axes over which the kernel differs.

    Returns:
        Tensor like `x` whose `axis` has the size `n_out`.
    """
    ndim = len(x.shape)
    n_in, n_out = kernel.shape[-2:]
    groups = math.prod(kernel.shape[:-2])
    sizes = ops.shape(x)
    if over:
        rest = tuple(a for a in range(ndim) if a != axis and a not in over)
        if rest[-1:] != (ndim - 1,):
            layout, flat = (*over, *rest, axis), (groups, -1, n_in)
        else:
            # What shares a kernel stays as contiguous as it was: whole runs of values are moved.
            layout, flat = (*over, axis, *rest), (groups, n_in, -1)
        kernel = ops.reshape(kernel, (groups, n_in, n_out))
    elif axis == ndim - 1 or _behind(x.shape, axis) < LEAST_BEHIND:
        layout, flat = (*(a for a in range(ndim) if a != axis), axis), (-1, n_in)
    else:
        # One kernel, multiplied from the left: nothing is moved at all.
        layout, flat = tuple(range(ndim)), (-1, n_in, math.prod(sizes[axis + 1 :]))
    moved = _transpose(x, layout)
    rows = ops.reshape(moved, flat)
    if layout[-1] == axis:
        y = ops.matmul(rows, kernel)
    else:
        y = ops.matmul(ops.swapaxes(kernel, -1, -2), rows)
    y = ops.reshape(y, tuple(n_out if a == axis else sizes[a] for a in layout))
    return _transpose(y, tuple(layout.index(a) for a in range(ndim)))


def _behind(shape, axis):
    """How many values lie behind an axis, as far as known: an unknown size counts as many."""
    return math.prod(LEAST_BEHIND if n is None else n for n in shape[axis + 1 :])


def _transpose(x, layout):
    return x if layout == tuple(range(len(layout))) else ops.transpose(x, layout)
