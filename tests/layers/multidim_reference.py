"""MultidimDense written again in numpy from its documentation, with plain loops.

Nothing here calls the layer's own helpers.
"""

import numpy as np


def product(x, kernel, axis, over):
    """`y[..., j at axis, ...] = sum_i x[..., i at axis, ...] * kernel[position on over, i, j]`."""
    n_out = kernel.shape[-1]
    y = np.zeros((*x.shape[:axis], n_out, *x.shape[axis + 1 :]), np.result_type(x, kernel))
    for position in np.ndindex(*(1 if a in (0, axis) else d for a, d in enumerate(x.shape))):
        matrix = kernel[tuple(position[a] for a in over)]
        at = [slice(None) if a in (0, axis) else p for a, p in enumerate(position)]
        y[tuple(at)] = x[tuple(at)] @ matrix
    return y


def live_entries(shape, distance, part, diagonal, window, density, seed):
    """Masks of a kernel of the given stored shape: live in turn, and live at once."""
    past, whole = np.zeros(shape, bool), np.zeros(shape, bool)
    for where in np.ndindex(*shape):
        d = distance[where[len(shape) - distance.ndim :]]
        allowed = (diagonal or d != 0) and (window is None or abs(d) <= window)
        whole[where] = allowed
        past[where] = allowed and {"all": True, "lower": d >= 0, "strict": d > 0}[part]
    if density is not None:
        drawn = np.random.RandomState(seed).permutation(whole.size)
        by_rank = [np.unravel_index(place, shape) for place in np.argsort(drawn)]
        for some in (past.copy(), whole & ~past):
            for where in [w for w in by_rank if some[w]][round(density * some.sum()) :]:
                past[where] = whole[where] = False
    return past, whole


def matrices(values):
    """Square kernels from values by distance `1 - n .. n - 1`."""
    n = (values.shape[-1] + 1) // 2
    out = np.zeros((*values.shape[:-1], n, n), values.dtype)
    for i in range(n):
        for j in range(n):
            out[..., i, j] = values[..., n - 1 + j - i]
    return out


def multidim_dense(
    x,
    kernels,
    axes,
    over,
    tied=False,
    execution="parallel",
    order="ascending",
    words=(),
    self_connection="each",
    window=None,
    density=None,
    seed=None,
    causal=None,
):
    """What a `MultidimDense` without bias and activation computes.

    Args:
        x: Array `[batch, d1, ..., dn]`.
        kernels: List of arrays as stored, term by term, in a term the fastest axis first.
        axes: Tuple of ints, the named axes.
        over: Dict from axes to the increasing tuple of axes over which its kernels differ.
        tied: Boolean, whether there is one kernel only.
        words: Words of the wiring.
        Otherwise as the layer's arguments.
    """
    n = len(axes)
    whole = "causal" not in words or causal is False
    used = iter(range(len(kernels)))

    def live(axis, part, diagonal, index=None):
        """Returns the next kernel with dead entries at zero, as matrices."""
        index = 0 if tied else next(used)
        kernel, size = kernels[index], x.shape[axis]
        distance = np.array([[j - i for j in range(size)] for i in range(size)])
        if "shift" in words:
            distance = np.arange(1 - size, size)
        if words or not diagonal:
            masks = live_entries(
                kernel.shape, distance, part, diagonal, window, density, (seed, index)
            )
            kernel = kernel * masks[whole]
        return axis, matrices(kernel) if "shift" in words else kernel

    terms = []
    for k, axis in enumerate(axes):
        is_last = k == n - 1
        if "causal" in words:
            term = [live(a, "all", True) for a in axes[:k:-1]]
            if is_last:
                term.append(live(axis, "lower", self_connection != "none"))
            else:
                term.append(live(axis, "strict", self_connection == "each"))
        else:
            keeps = {"each": True, "once": is_last or execution == "sequential", "none": False}
            term = [live(axis, "all", keeps[self_connection])]
        terms.append(term)

    def apply(term, z):
        for axis, kernel in term:
            z = product(z, kernel, axis, over[axis])
        return z

    if execution == "parallel":
        return sum(apply(term, x) for term in terms)
    for k in range(n) if order == "ascending" else range(n - 1, -1, -1):
        y = apply(terms[k], x)
        x = x + y if "causal" in words and k < n - 1 else y
    return x
