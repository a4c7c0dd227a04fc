"""The one place where a kernel is applied along an axis."""

import math

from keras import ops


def axis_product(x, kernel, axis, over=()):
    """Multiplies an array by a kernel along one axis.

    `y[..., j at axis, ...] = sum_i x[..., i at axis, ...] * kernel[p, i, j]`, where `p` is the
    position on the axes in `over`.

    Args:
        x: Tensor `[batch, d1, ..., dn]`.
        kernel: Tensor `[sizes of the axes in over..., n_in, n_out]`, of x's dtype.
        axis: Integer, the axis to mix, in `1 .. n`.
        over: Increasing tuple of the other axes over which the kernel differs.

    Returns:
        Tensor like `x` whose `axis` has the size `n_out`.
    """
    ndim = len(x.shape)
    n_in, n_out = kernel.shape[-2:]
    groups = math.prod(kernel.shape[:-2])
    rest = tuple(a for a in range(ndim) if a != axis and a not in over)
    # Everything that shares a kernel becomes the rows of one batched product.
    layout = (*over, *rest, axis)
    sizes = ops.shape(x)
    moved = x if layout == tuple(range(ndim)) else ops.transpose(x, layout)
    rows = ops.reshape(moved, (groups, -1, n_in) if over else (-1, n_in))
    matrix = ops.reshape(kernel, (groups, n_in, n_out)) if over else kernel
    y = ops.reshape(ops.matmul(rows, matrix), (*(sizes[a] for a in layout[:-1]), n_out))
    if layout == tuple(range(ndim)):
        return y
    return ops.transpose(y, tuple(layout.index(a) for a in range(ndim)))
