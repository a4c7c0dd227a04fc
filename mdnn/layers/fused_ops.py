"""Functions with hand-written gradients that are faster than automatic ones."""

import math

import keras
from keras import ops


def sparse_cross_entropy(scores, answers):
    """Computes `log(sum(exp(scores))) - scores[answer]` along the last axis.

    Equals `ops.sparse_categorical_crossentropy` with logits. For 2,048 x 256 scores with gradients
    it takes 1.0 ms on one core, TensorFlow's 1.9 ms.

    Args:
        scores: tensor `[..., classes]`.
        answers: int tensor `[...]`, each in `0 .. classes - 1`.

    Returns:
        Tensor `[...]` of the scores' dtype.
    """

    @ops.custom_gradient
    def nats(scores, right):
        # `initial` defines the maximum of an empty array.
        most = ops.max(scores, axis=-1, keepdims=True, initial=-math.inf)
        below = scores - most
        powers = ops.exp(below)
        total = ops.sum(powers, axis=-1, keepdims=True)

        def gradient(*args, upstream=None):
            (dy,) = args if upstream is None else (upstream,)
            # Nobody takes the second one.
            return (powers / total - right) * dy[..., None], ops.zeros_like(right)

        # where(), not a product: a score may be minus infinity.
        target_score = ops.sum(ops.where(right > 0, below, 0.0), axis=-1)
        return ops.log(total)[..., 0] - target_score, gradient

    scores = ops.convert_to_tensor(scores)
    # An argument, not part of the closure, which JAX does not allow in recomputed functions.
    return nats(scores, ops.one_hot(answers, scores.shape[-1], dtype=scores.dtype))


def silu_gate(u, v):
    """Computes `silu(u) * v` with `silu(u) = u * sigmoid(u)` (SwiGLU, arXiv 2002.05202).

    The gradients are `dy * silu(u)` for `v` and `dy * v * (s + silu(u) * (1 - s))` for `u`, where
    `s = sigmoid(u)` is stored. TensorFlow recomputes it, and in bfloat16 takes three times as long
    as in float32. For 2,048 x 256 numbers with gradients: 2.25 ms on one core, here 1.47 ms.

    Args:
        u, v: Tensors of the same shape and dtype.

    Returns:
        Tensor of the same shape and dtype.
    """

    @ops.custom_gradient
    def gate(u, v):
        narrow = keras.backend.standardize_dtype(u.dtype) in ("bfloat16", "float16")
        s = ops.cast(ops.sigmoid(ops.cast(u, "float32") if narrow else u), u.dtype)
        silu = u * s

        def gradient(*args, upstream=None):
            (dy,) = args if upstream is None else (upstream,)
            return dy * v * (s + silu * (1 - s)), dy * silu

        return silu * v, gradient

    return gate(u, v)
