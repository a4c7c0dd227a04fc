"""Parses wirings, builds kernel masks and expands shift kernels to Toeplitz matrices."""

import numpy as np
from keras import ops

WORDS = ("causal", "local", "random", "shift")


def parse_wiring(wiring):
    """Normalizes a wiring.

    Args:
        wiring: str (`"full"`, a word of `WORDS`, or several joined with `"+"`), or iterable
            of such words.

    Returns:
        A string: `"full"`, or sorted words joined with `"+"`.

    Raises:
        ValueError: a word is unknown or repeated, or `"full"` is combined with others.
    """
    expected = f'"full" or a combination of {", ".join(WORDS)} such as "causal+shift"'
    if isinstance(wiring, str):
        words = [word.strip() for word in wiring.split("+")]
    else:
        try:
            words = list(wiring)
        except TypeError:
            raise ValueError(f"Expected `wiring` to be {expected}. Received: {wiring!r}") from None
    if words == ["full"]:
        return "full"
    if not words or len(set(words)) != len(words) or any(word not in WORDS for word in words):
        raise ValueError(f"Expected `wiring` to be {expected}. Received: {wiring!r}")
    return "+".join(sorted(words))


def kernel_masks(
    size, part="all", diagonal=True, window=None, shift=False, density=None, seed=None, over=()
):
    """Builds the masks of one kernel along an axis that keeps its size.

    The entry from input `i` to output `j` has distance `j - i`. Exactly `round(density * count)`
    of the entries that `diagonal` and `window` allow are live: the first ones in an order drawn by
    `numpy.random.RandomState(seed)`, whose stream is frozen by numpy. A smaller density therefore
    selects a subset of a larger one. The entries of `part` and the others are counted separately.

    Args:
        size: int, the axis's size `n`.
        part: str, the entries that causal execution may use: `"all"`, `"lower"` (`j >= i`) or
            `"strict"` (`j > i`).
        diagonal: bool, whether the entries at distance 0 are live.
        window: int or `None`, the largest live distance in both directions.
        shift: bool, whether the kernel holds one entry per distance `1 - n .. n - 1`.
        density: float in 0 .. 1 or `None` for 1.
        seed: int or sequence of integers in `0 .. 2**32 - 1`; only with `density`.
        over: tuple of sizes of the axes over which the kernel differs.

    Returns:
        Two boolean arrays that broadcast to the kernel's shape, `[..., n, n]` or with `shift`
        `[..., 2 * n - 1]`: the live entries of `part`, and all live entries.
    """
    indices = np.arange(size, dtype="int32")
    distance = (
        np.arange(1 - size, size, dtype="int32") if shift else indices[None, :] - indices[:, None]
    )
    allowed = np.ones(distance.shape, bool) if diagonal else distance != 0
    if window is not None:
        allowed &= abs(distance) <= window
    past = allowed & (distance >= {"all": 1 - size, "lower": 0, "strict": 1}[part])
    if density is None:
        return past, allowed
    shape = (*over, *distance.shape)
    rank = np.random.RandomState(seed).permutation(np.prod(shape, dtype=int)).reshape(shape)
    live = np.zeros(shape, bool)
    for entries in (past, allowed & ~past):
        index = np.flatnonzero(np.broadcast_to(entries, shape))
        first = index[np.argsort(rank.flat[index])]
        live.flat[first[: round(density * index.size)]] = True
    return live & past, live


def fan_in(size, mask, shift=False):
    """Returns the mean number of live inputs per output, at least 1.

    Args:
        size: int, the number of inputs.
        mask: bool array from `kernel_masks`, or `None` if every entry is live.
        shift: bool, whether the mask holds one entry per distance.

    Returns:
        A float.
    """
    if mask is None:
        return float(size)
    if not shift:
        return max(float(np.mean(mask)) * size, 1.0)
    # Distance d occurs size - |d| times in the matrix.
    occurrences = size - abs(np.arange(1 - size, size))
    return max(float(np.mean(mask * occurrences)) * (2 * size - 1) / size, 1.0)


def toeplitz(values):
    """Expands one value per distance to matrices: `matrix[i, j] = values[j - i + n - 1]`.

    Args:
        values: tensor or array `[..., 2 * n - 1]`, by distance `1 - n .. n - 1`.

    Returns:
        Tensor `[..., n, n]`, input index first.
    """
    n = (values.shape[-1] + 1) // 2
    lead = tuple(values.shape[:-1])
    zero = [0] * len(lead)
    # Repeating a row of 2n values and cutting it every 2n - 1 values shifts it by one per row.
    padded = ops.pad(values, [[0, 0]] * len(lead) + [[0, 1]])
    flat = ops.tile(padded, (1,) * len(lead) + (n,))
    # ops.slice: TensorFlow's gradient of a strided slice (brackets) takes twice as long.
    flat = ops.slice(flat, (*zero, 0), (*lead, n * (2 * n - 1)))
    rows = ops.reshape(flat, (*lead, n, 2 * n - 1))
    return ops.slice(rows, (*zero, 0, n - 1), (*lead, n, n))
