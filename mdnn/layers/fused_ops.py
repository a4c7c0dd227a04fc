"""Functions whose gradients are written by hand, because they are faster so."""

import math

import keras
from keras import ops


def sparse_cross_entropy(scores, answers):
    """`log(sum(exp(scores))) - scores[answer]` along the last axis.

    What `ops.sparse_categorical_crossentropy` gives from scores (logits); of 2,048 x 256 scores,
    with gradients, TensorFlow's takes 1.9 ms on one core, this 1.0.

    Args:
        scores: Tensor `[..., classes]`.
        answers: Integer tensor `[...]`, each in `0 .. classes - 1`.

    Returns:
        Tensor `[...]` of the scores' dtype.
    """

    @ops.custom_gradient
    def nats(scores):
        # With a start, of no rows at all there is a maximum, too.
        most = ops.max(scores, axis=-1, keepdims=True, initial=-math.inf)
        below = scores - most
        powers = ops.exp(below)
        total = ops.sum(powers, axis=-1, keepdims=True)
        right = ops.one_hot(answers, scores.shape[-1], dtype=scores.dtype)

        def gradient(*args, upstream=None):
            (dy,) = args if upstream is None else (upstream,)
            return (powers / total - right) * dy[..., None]

        # Not a product: a score may be minus infinity.
        own = ops.sum(ops.where(right > 0, below, 0.0), axis=-1)
        return ops.log(total)[..., 0] - own, gradient

    return nats(ops.convert_to_tensor(scores))


def silu_gate(u, v):
    """`silu(u) * v`, with `silu(u) = u * sigmoid(u)` (SwiGLU, arXiv 2002.05202).

    Its gradients are `dy * silu(u)` by `v` and `dy * v * (s + silu(u) * (1 - s))` by `u`, with
    `s = sigmoid(u)`, which is kept. TensorFlow computes it again, and of bfloat16 in three times
    the time of float32: of 2,048 x 256 numbers, with gradients, 2.25 ms on one core, here 1.47.

    Args:
        u, v: tensors of one shape and dtype.

    Returns:
        Tensor of their shape and dtype.
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
