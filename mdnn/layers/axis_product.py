"""Multiplies arrays by kernels along one axis, on one device or divided among several."""

import contextlib
import math
import threading

from keras import ops

# With fewer values after the axis than this, the matrix product has rows too short to be fast.
LEAST_BEHIND = 16


# The batch is moved to the end if it is this many times as long as the longest mixed axis.
LONG_BATCH = 4


def batch_goes_last(shape, plan):
    """Returns whether a plan's products are faster with the batch as the last axis.

    If every position has its own kernel, a kernel is shared along the batch only. As the last axis
    the batch is contiguous, so transposes move whole runs of values. This pays for batches that
    are long compared with the mixed axes (measured by benchmarks/layers.py: 36 ms became 27 ms on
    16 x 16 x 16 x 16 at batch 64; 1.3 ms became 2.4 ms on 128 x 128 at batch 8).

    Args:
        shape: tuple, the input's shape; a batch of unknown size is not moved.
        plan: `Plan`.

    Returns:
        bool.
    """
    if _divided_axis() is not None:
        return False
    steps = [step for term in plan.terms for step in term]
    alone = all(len(step.over) == len(shape) - 2 > 0 for step in steps)
    longest = max(max(step.n_in, step.n_out) for step in steps)
    return alone and shape[0] is not None and shape[0] >= LONG_BATCH * longest


def batch_to_end(x):
    """Transposes `[batch, d1, ..., dn]` to `[d1, ..., dn, batch]`."""
    return ops.transpose(x, (*range(1, len(x.shape)), 0))


def batch_to_front(x):
    """Transposes `[d1, ..., dn, batch]` to `[batch, d1, ..., dn]`."""
    last = len(x.shape) - 1
    return ops.transpose(x, (last, *range(last)))


def axis_product(x, kernel, axis, over=()):
    """Multiplies an array by a kernel along one axis.

    `y[..., j at axis, ...] = sum_i x[..., i at axis, ...] * kernel[p, i, j]`, where `p` is the
    position on the axes in `over`.

    Args:
        x: tensor of any rank.
        kernel: tensor `[sizes of the axes in over..., n_in, n_out]`, of x's dtype.
        axis: int, the axis to mix.
        over: Increasing tuple of the other axes over which the kernel differs.

    Returns:
        Tensor of the shape of `x` with size `n_out` at `axis`.
    """
    divided = _divided_axis()
    if divided is not None:
        return _divided_product(x, kernel, axis, over, divided)
    ndim = len(x.shape)
    n_in, n_out = kernel.shape[-2:]
    groups = math.prod(kernel.shape[:-2])
    sizes = ops.shape(x)
    if over:
        rest = tuple(a for a in range(ndim) if a != axis and a not in over)
        if rest[-1:] != (ndim - 1,):
            layout, flat = (*over, *rest, axis), (groups, -1, n_in)
        else:
            # Axes that share a kernel stay contiguous, so the transpose moves whole runs of values.
            layout, flat = (*over, axis, *rest), (groups, n_in, -1)
        kernel = ops.reshape(kernel, (groups, n_in, n_out))
    elif axis == ndim - 1 or _behind(x.shape, axis) < LEAST_BEHIND:
        layout, flat = (*(a for a in range(ndim) if a != axis), axis), (-1, n_in)
    else:
        # A single kernel is multiplied from the left, without a transpose.
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
    """Returns the number of values after an axis; an unknown size counts as `LEAST_BEHIND`."""
    return math.prod(LEAST_BEHIND if n is None else n for n in shape[axis + 1 :])


def _transpose(x, layout):
    return x if layout == tuple(range(len(layout))) else ops.transpose(x, layout)


class DividedAxis:
    """An axis of all arrays that several devices divide among themselves.

    A product along another axis needs nothing of other devices. Before a product along the divided
    axis another axis is divided in its place, and afterwards the divided axis again: two
    all-to-all exchanges, as in a distributed Fourier transform.

    Args:
        axis: int, the divided axis.
        shares: int, the number of shares.
        batch: int, the number of shares of the first axis, the batch.
        place: function `(x, axis)` that returns `x` with that axis divided, inside a traced
            function.
    """

    def __init__(self, axis, shares, batch, place):
        self.axis, self.shares, self.batch, self.place = axis, shares, batch, place

    def other(self, shape, axis, over):
        """Returns the axis to divide during a product along the divided axis.

        An axis over which the kernel differs comes first: its devices need only their kernels.

        Args:
            shape: tuple, the array's shape.
            axis: int, the divided axis.
            over: tuple of ints, see `axis_product`.

        Returns:
            int; `None` if the shares divide no other axis.
        """
        others = [*over, *(a for a in range(1, len(shape)) if a not in over)]
        fits = (a for a in others if a not in (0, axis) and not (shape[a] or 1) % self.shares)
        return next(fits, None)


_LOCAL = threading.local()


def _divided_axis():
    return getattr(_LOCAL, "divided", None)


def is_divided():
    """Returns whether the current thread traces functions for a `DividedAxis`."""
    return _divided_axis() is not None


@contextlib.contextmanager
def dividing(divided):
    """Context manager in which the current thread traces functions for a `DividedAxis`."""
    before = _divided_axis()
    _LOCAL.divided = divided
    try:
        yield
    finally:
        _LOCAL.divided = before


def by_device(x):
    """Lays out the positions of an array `[batch, positions, channels]` device by device.

    Slabs of the second axis then lie on all devices.

    Returns:
        Tensor `[devices, positions of a device, channels]` inside `dividing`; else `x`.
    """
    divided = _divided_axis()
    if divided is None:
        return x
    b, r, (_, positions, channels) = divided.batch, divided.shares, x.shape
    x = ops.reshape(x, (b, -1, r, positions // r, channels))
    x = ops.transpose(x, (0, 2, 1, 3, 4))
    return ops.reshape(x, (b * r, -1, channels))


def from_devices(x, positions):
    """Returns values of positions in the layout of `by_device` as `[batch, positions]`.

    Args:
        x: tensor `[devices, positions of a device]` inside `dividing`; else `[batch, positions]`.
        positions: int, positions of a context.
    """
    divided = _divided_axis()
    if divided is None:
        return x
    b, r = divided.batch, divided.shares
    x = ops.reshape(x, (b, r, -1, positions // r))
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, positions))


def _divided_product(x, kernel, axis, over, divided):
    """Computes `axis_product` without merging axes, whose devices would be lost."""
    target = divided.axis
    if x.shape[target] is None or x.shape[target] % divided.shares:
        target = None
    elif axis == target:
        target = divided.other(x.shape, axis, over)
    letters = "abcdefghijklmnopqrstuvw"[: len(x.shape)]
    kernels = "".join(letters[a] for a in over) + letters[axis] + "z"
    result = letters.replace(letters[axis], "z")
    if target is not None:
        x = divided.place(x, target)
    y = ops.einsum(f"{letters},{kernels}->{result}", x, kernel)
    if target is None:
        return y
    y = divided.place(y, target)
    return divided.place(y, divided.axis) if target != divided.axis else y
