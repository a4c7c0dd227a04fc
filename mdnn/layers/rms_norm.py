"""Defines `RMSNorm`: RMS normalization with a hand-written gradient."""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer


@keras.saving.register_keras_serializable(package="mdnn")
class RMSNorm(RuledLayer, keras.layers.RMSNormalization):
    """Normalizes the last axis as `keras.layers.RMSNormalization`, with fewer passes over memory.

    `y = x * rsqrt(mean(x ** 2) + epsilon) * scale` (arXiv 1910.07467). The gradient for `x` is
    `r * (scale * dy - n * mean(scale * dy * n))`, with `r` the inverse root and `n = x * r`.

    Args:
        **kwargs: Arguments of `keras.layers.RMSNormalization`.

    Input shape:
        `[batch, ..., channels]`.

    Output shape:
        The same.
    """

    def call(self, inputs):
        epsilon = self.epsilon

        @ops.custom_gradient
        def norm(x, scale):
            # Squares are summed in float32 at least.
            wide = keras.backend.standardize_dtype(x.dtype) == "float64"
            square = ops.square(x if wide else ops.cast(x, "float32"))
            inverse = ops.rsqrt(ops.mean(square, axis=-1, keepdims=True) + epsilon)
            inverse = ops.cast(inverse, x.dtype)
            normed = x * inverse

            def gradient(*args, upstream=None):
                (dy,) = args if upstream is None else (upstream,)
                product = dy * normed
                by_scale = ops.sum(product, axis=tuple(range(len(x.shape) - 1)))
                mean = ops.matmul(product, scale[:, None] / x.shape[-1])
                return (dy * scale - normed * mean) * inverse, by_scale

            return normed * scale, gradient

        # Pass a tensor: for a variable, TensorFlow's custom_gradient expects a separate gradient.
        return norm(inputs, ops.multiply(self.scale, 1.0))
