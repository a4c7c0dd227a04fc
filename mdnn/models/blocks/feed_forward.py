"""Residual blocks without mixing: feed-forward blocks and linear blocks."""

import keras
from keras import ops

from mdnn.models.blocks.residual_block import (
    PositionBlock,
    check_width,
    ends,
    gated,
    make_activation,
    product,
)
from mdnn.models.blocks.row_identity import scaled, shifted


@keras.saving.register_keras_serializable(package="mdnn")
class FeedForwardBlock(PositionBlock):
    """Computes `W_out act(W_in h)`; with a gate `W_out (gate(u) * v)` (SwiGLU, arXiv 2002.05202).

    Args:
        width: int, inner width.
        gate: name of the gate's activation, or `"none"`.
        activation: name of the activation used without a gate, or `"none"`.

    Input shape:
        `[batch, ..., channels]`.

    Output shape:
        The same.
    """

    def __init__(self, width, gate="none", activation="none", **kwargs):
        super().__init__(**kwargs)
        self.width, self.gate, self.activation = width, gate, activation
        self.gate_function = make_activation(gate)
        self.function = make_activation(activation)

    def build_transform(self, shape):
        check_width(self.gate_function, self.gate, self.width)
        check_width(self.function, self.activation, self.width)
        twice = 2 if self.gate != "none" else 1
        self.dense_in = self.make_dense(self.width * twice, "dense_in", shape)
        inner = (*shape[:-1], self.width)
        self.dense_out = self.make_dense(shape[-1], "dense_out", inner, self.scale)

    def transform(self, x, options, training, mix=None):
        x = shifted(self.dense_in(x), options, self.name)
        if self.gate != "none":
            gate, x = ops.split(x, 2, axis=-1)
            x = gated(self.gate, self.gate_function, gate, x)
        elif self.function is not None:
            x = self.function(x)
        return self.dense_out(scaled(x, options, self.name))

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        return product(input_shape[1:]) * (self.dense_in.units + self.width)

    def values(self, input_shape):
        """Returns the number of values written for one example."""
        size = product(input_shape[1:])
        inner = size // input_shape[-1] * (self.dense_in.units + self.width)
        return size * (ends(self) + 1) + inner

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "gate": self.gate,
            "activation": self.activation,
        }


@keras.saving.register_keras_serializable(package="mdnn")
class LinearBlock(PositionBlock):
    """Applies one dense layer over the channels, the paper's linear layer.

    Args:
        activation: name of the activation after the dense layer, or `"none"`.

    Input shape:
        `[batch, ..., channels]`.

    Output shape:
        The same.
    """

    def __init__(self, activation="none", **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.function = make_activation(activation)

    def build_transform(self, shape):
        check_width(self.function, self.activation, shape[-1])
        self.dense = self.make_dense(shape[-1], "dense", shape, self.scale)

    def transform(self, x, options, training, mix=None):
        x = shifted(self.dense(scaled(x, options, self.name)), options, self.name)
        return x if self.function is None else self.function(x)

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        return product(input_shape[1:]) * input_shape[-1]

    def values(self, input_shape):
        """Returns the number of values written for one example."""
        return product(input_shape[1:]) * (ends(self) + 1 + (self.function is not None))

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}
