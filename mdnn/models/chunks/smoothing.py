"""Provides gradients for learned cuts: smoothed chunks, confidence factors, the ratio loss."""

from keras import ops

EPSILON = 1e-4


def smoothed(v, strength):
    """Mixes each chunk with earlier ones, the more the weaker the cut at its end.

    `s_c = p_c v_c + (1 - p_c) s_(c-1)`, H-Net's smoothing (arXiv 2507.07955), as one product with
    the triangle of weights `p_k prod_(k < j <= c) (1 - p_j)`.

    Args:
        v: `[batch, chunks, width]`.
        strength: float32 `[batch, chunks]`, p, the strength of the cut at each chunk's end.

    Returns:
        Tensor of v's shape.
    """
    p = ops.clip(strength, EPSILON, 1 - EPSILON)
    logs = ops.cumsum(ops.log(1 - p), axis=1)
    chunk = ops.arange(v.shape[1], dtype="int32")
    earlier = chunk[None, :] <= chunk[:, None]
    between = ops.where(earlier, logs[:, :, None] - logs[:, None], 0.0)
    weights = ops.where(earlier, ops.exp(between) * p[:, None], 0.0)
    return ops.matmul(ops.cast(weights, v.dtype), v)


def confident(strength, cut):
    """Returns 1 for every letter, with the gradient of the confidence in its cut or non-cut.

    Args:
        strength: float32 `[batch, positions]`.
        cut: `[batch, positions]`, 1 where a chunk begins, otherwise 0.
    """
    sure = strength * cut + (1 - strength) * (1 - cut)
    return 1.0 + sure - ops.stop_gradient(sure)


def ratio_loss(strength, cut, letters):
    """Returns H-Net's loss that keeps the mean length of chunks near `letters`.

    `N / (N - 1) ((N - 1) F G + (1 - F) (1 - G))` with N = letters, F the share of positions where a
    chunk begins and G the mean strength; it is 1 where both are 1 / N.

    Args:
        strength, cut: see `confident`. The first position, where every context begins, is left out.
        letters: float, N, above 1.
    """
    cut = ops.stop_gradient(ops.convert_to_tensor(cut))
    f, g = ops.mean(cut[:, 1:]), ops.mean(strength[:, 1:])
    return letters / (letters - 1) * ((letters - 1) * f * g + (1 - f) * (1 - g))
