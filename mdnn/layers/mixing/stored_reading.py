"""Defines `StoredReading`: entries of an axis read its first entries, and no others."""

import math

import keras
from keras import ops

from mdnn.layers.mixing.axis_attention import AxisAttention


@keras.saving.register_keras_serializable(package="mdnn")
class StoredReading(AxisAttention):
    """Lets the entries of an axis read the first `stored` ones, and nothing of each other.

    Per head, `y_t = sum_s w_ts v_s` over the stored entries s, where `w_ts` is the softmax over s
    of `q_t . k_s / sqrt(h)`, with `h = channels / heads`, and of a further 0, by which an entry
    reads nothing: what is stored is looked up as in a database. The stored entries themselves read
    nothing: their result is zero. Each position of the other axes is a separate axis. The cost
    grows with the number of entries times `stored`.

    Args:
        axis: int, the axis to mix, not the last; the batch is axis 0.
        stored: Positive integer, number of first entries of the axis that are read.
        heads: Positive integer that divides the number of channels.
        kernel_initializer: initializer of the four projections' kernels.

    Call arguments:
        x: float tensor, see the input shape.
        causal: Ignored: what is stored comes first, so that the layer is causal always.

    Input shape:
        `[batch, d1, ..., dk, channels]`, with a known size of the axis.

    Output shape:
        The input's.

    Raises:
        ValueError: an argument is invalid or does not match the input.
    """

    def __init__(self, axis, stored=1, heads=1, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(
            axis, heads, wiring="causal", kernel_initializer=kernel_initializer, **kwargs
        )
        if isinstance(stored, bool) or not isinstance(stored, int) or stored < 1:
            raise ValueError(f"Expected `stored` to be a positive integer. Received: {stored!r}")
        self.stored = stored

    def call(self, x, causal=None, training=None):
        axis = self._axis(x.shape)
        x = ops.moveaxis(x, axis, -2)
        size, width = x.shape[-2:]
        if size <= self.stored:
            return ops.moveaxis(ops.zeros_like(x), -2, axis)
        first, later = x[..., : self.stored, :], x[..., self.stored :, :]

        def heads_apart(dense, z):
            sizes = [-1 if n is None else n for n in z.shape[:-1]]
            y = ops.reshape(dense(z), (*sizes, self.heads, width // self.heads))
            return ops.swapaxes(y, -2, -3)

        q = heads_apart(self.query, later) * (1 / math.sqrt(width // self.heads))
        k, v = heads_apart(self.key, first), heads_apart(self.value, first)
        scores = ops.cast(ops.matmul(q, ops.swapaxes(k, -1, -2)), "float32")
        y = ops.matmul(ops.cast(reading_weights(scores), v.dtype), v)
        y = self.result(ops.reshape(ops.swapaxes(y, -2, -3), (-1, *later.shape[1:])))
        y = ops.concatenate([ops.zeros_like(first), y], axis=-2)
        return ops.moveaxis(y, -2, axis)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example; only the batch's size may be `None`."""
        axis = self._axis(input_shape)
        size, width = math.prod(input_shape[1:]), input_shape[-1]
        stored = min(self.stored, input_shape[axis])
        each = size // input_shape[axis]
        later = each * (input_shape[axis] - stored)
        return later * 2 * (width + stored) + each * stored * 2 * width

    def get_config(self):
        config = super().get_config()
        names = ("axis", "heads", "kernel_initializer", "name", "dtype", "trainable")
        return {name: config[name] for name in names} | {"stored": self.stored}


def reading_weights(scores):
    """Returns the softmax of scores `[..., stored]` and a further score of 0, without the last."""
    total = ops.logsumexp(scores, axis=-1, keepdims=True)
    return ops.exp(scores - ops.logaddexp(total, ops.zeros_like(total)))
