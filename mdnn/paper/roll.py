"""Defines `LineageRollLayer`, which connects each position to itself once by rolling the grid."""

import keras
from keras import ops

from mdnn.paper.paper_layers import GridLayer


@keras.saving.register_keras_serializable(package="mdnn")
class LineageRollLayer(GridLayer):
    """Connects each position to itself once and to the other positions of its axes, by rolling.

    `y = x · w_identity + Σ_axes Σ_{shift=1}^{d-1} roll(x · w_{axis,shift}, shift, axis) + bias`.
    The weight from index i to index j along an axis is `w_{axis,(j - i) mod d}` at i. This is the
    function of a parallel `LineageLayer` with separate kernels and `self_connection="once"` in
    another parametrization.

    Args:
        shape: ints `[d1, …, dn]`, the grid without the batch.
        identity: bool, whether to connect positions to themselves; the weight is initially 0.
        use_bias: bool, whether to add a bias per position, initially 0.

    Input shape:
        `[batch, d1, …, dn]`.

    Output shape:
        The input's.

    Weights:
        `w_identity`, then `w_<axis>_<shift>` (axis negative), then `bias`, each `[d1, …, dn]`.

    Raises:
        ValueError: `shape` is invalid or the input has another shape.
    """

    def __init__(self, shape, identity=True, use_bias=False, **kwargs):
        super().__init__(shape, **kwargs)
        self.identity = identity
        self.use_bias = use_bias
        self.w_identity = None
        self.bias = None
        self._rolls = [
            (axis, shift)
            for axis in range(-len(self.shape), 0)
            for shift in range(1, self.shape[axis])
        ]
        self.build((None, *self.shape))

    def build(self, input_shape):
        super().build(input_shape)
        if self.built:
            return
        if self.identity:
            self.w_identity = self.add_weight(
                name="w_identity", shape=self.shape, initializer="zeros"
            )
        self._w = [
            self.add_weight(name=f"w_{axis}_{shift}", shape=self.shape)
            for axis, shift in self._rolls
        ]
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=self.shape, initializer="zeros")

    def call(self, x):
        y = ops.zeros_like(x) if self.w_identity is None else x * self.w_identity
        for (axis, shift), w in zip(self._rolls, self._w, strict=True):
            y = y + ops.roll(x * w, shift, axis)
        return y if self.bias is None else y + self.bias

    def get_config(self):
        return {**super().get_config(), "identity": self.identity, "use_bias": self.use_bias}
