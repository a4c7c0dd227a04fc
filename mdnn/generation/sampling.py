"""Samples classes from logits, reproducibly on every backend."""

import keras
import numpy as np
from keras import ops


def _mix(x):
    """Applies murmur3's 32-bit finalizer: each bit of x affects about half of the result's bits."""
    x = _low_bits(x)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ops.bitwise_xor(x, ops.right_shift(x, _word(shift)))
        x = _low_bits(ops.multiply(x, _word(factor)))
    return ops.bitwise_xor(x, ops.right_shift(x, _word(16)))


def _low_bits(x):
    """Truncates numbers to 32 bits on PyTorch, where Keras represents uint32 as int64."""
    if keras.backend.backend() != "torch":
        return x
    return ops.bitwise_and(x, _word(0xFFFFFFFF))


def _word(value):
    return ops.convert_to_tensor(np.uint32(value), dtype="uint32")


def uniform(*numbers):
    """Returns pseudo-random numbers in [0, 1) that depend only on `numbers`.

    Keras' generators differ between backends and do not accept a seed from a tensor. A hash of seed
    and position gives the same result in Python, in a SavedModel and in any batch.

    Args:
        numbers: int32 tensors or ints, broadcast against each other.

    Returns:
        float32 tensor of their common shape.
    """
    state = _word(0x9E3779B9)
    for number in numbers:
        # Avoid `ops.add`: Keras 3.15 on TensorFlow adds [n, 1] to [1, n] as if it were [n].
        state = _mix(ops.cast(number, "uint32") + ops.multiply(state, _word(0x01000193)))
    # Use 24 bits, which a float32 represents exactly.
    bits = ops.cast(ops.right_shift(state, _word(8)), "int32")
    return ops.cast(bits, "float32") * (1.0 / 2**24)


_FLOOR = -30.0
"""Log-probabilities below this one stay as they are in `guided`."""


def guided(logits, scale, negatives):
    """Moves log-probabilities away from what negative prompts make likely.

    Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), with the mean of the
    probabilities given the negative prompts in place of those without a prompt:
    `log q + scale (log p - log q)`, where p is given the prompt and q that mean.

    Args:
        logits: float32 `[n (1 + negatives), tokens, classes]`; those given a prompt stand before
            those given its negative prompts.
        scale: float32 `[n (1 + negatives), 1, 1]`; 1 leaves p.
        negatives: int or int32 scalar, number of negative prompts of each prompt, at least 1.

    Returns:
        float32, shape of `logits`, the same for a prompt and its negative prompts.
    """
    shape = (-1, 1 + negatives, *logits.shape[1:])
    logs = ops.log_softmax(ops.reshape(logits, shape), axis=-1)
    own, others = logs[:, :1], ops.maximum(logs[:, 1:], _FLOOR)
    number = ops.log(ops.cast(negatives, "float32"))
    mean = ops.logsumexp(others, axis=1, keepdims=True) - number
    factor = ops.reshape(scale, (-1, 1 + negatives, 1, 1))[:, :1] - 1.0
    moved = own + ops.where(own > _FLOOR, factor * (own - mean), 0.0)
    return ops.reshape(ops.repeat(moved, 1 + negatives, axis=1), ops.shape(logits))


SAMPLERS = ("greedy", "plain", "filtered")
"""Samplers: argmax; temperature only; temperature with `top_k` and `top_p`."""


def sample(logits, u, temperature, top_k, top_p, sampler="filtered"):
    """Samples one class per row.

    Args:
        logits: float32 `[batch, classes]`.
        u: float32 `[batch]`, random numbers in [0, 1), one per row; `None` with `"greedy"`.
        temperature: float32 `[batch]`, divides the logits; 0: the likeliest class.
        top_k: int32 `[batch]`; samples only from the k likeliest classes. 0: all.
        top_p: float32 `[batch]`; samples only from the likeliest classes with at least this total
            probability. 1: all.
        sampler: one of `SAMPLERS`. The cheaper ones ignore settings: `"greedy"` all of them,
            `"plain"` `top_k` and `top_p`, which saves sorting.

    Returns:
        int32 `[batch]`.
    """
    likeliest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    if sampler == "greedy":
        return likeliest
    classes = logits.shape[-1]
    warm = temperature[:, None] > 0
    # Shift the largest logit to 0: it stays finite even if a tiny temperature makes the others
    # -inf.
    scaled = logits - ops.max(logits, axis=-1, keepdims=True)
    scaled = scaled / ops.where(warm, ops.maximum(temperature[:, None], 1e-30), 1.0)
    weights = ops.exp(scaled)
    if sampler == "filtered":
        weights = ops.where(scaled >= _lowest(scaled, top_k, top_p), weights, 0.0)
    total = ops.cumsum(weights, axis=-1)
    drawn = ops.sum(ops.cast(total <= u[:, None] * total[:, -1:], "int32"), axis=-1)
    # Because of rounding, the draw may exceed the last class with a nonzero weight.
    last = ops.max(ops.where(weights > 0, ops.arange(classes, dtype="int32")[None, :], 0), axis=-1)
    return ops.where(warm[:, 0], ops.minimum(drawn, last), likeliest)


def _lowest(scaled, top_k, top_p):
    """Returns the lowest logit `[batch, 1]` that may be sampled."""
    classes = scaled.shape[-1]
    # Apply temperature, then top-k, then top-p, as most libraries do.
    ordered = ops.flip(ops.sort(scaled, axis=-1), axis=-1)
    k = ops.where(top_k > 0, ops.minimum(top_k, classes), classes)
    kept = ops.arange(classes, dtype="int32")[None, :] < k[:, None]
    odds = ops.where(kept, ops.exp(ordered), 0.0)
    odds = odds / ops.sum(odds, axis=-1, keepdims=True)
    before = ops.cumsum(odds, axis=-1) - odds
    kept = ops.logical_and(kept, ops.logical_or(before < top_p[:, None], before <= 0.0))
    return ops.min(ops.where(kept, ordered, ordered[:, :1]), axis=-1, keepdims=True)
