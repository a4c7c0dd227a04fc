"""The mixer `mean`: the mean along axes."""

import dataclasses
from typing import ClassVar

import keras
from keras import ops

from mdnn.layers.arguments import normalize_axis
from mdnn.layers.mixing.mixer import Mixer, register_mixer


@keras.saving.register_keras_serializable(package="mdnn")
class AxisMean(keras.layers.Layer):
    """Replaces each value by the mean over some axes of a grid; it has no weights.

    The layer is invariant to the order of positions, as required for the digits of a sudoku.

    Args:
        axes: list of ints, the axes to average, not the last, which holds the channels; the
            batch is axis 0, negative axes count from the end.

    Call arguments:
        x: float tensor, see the input shape.
        causal: `None` or `False`, since a mean depends on all positions.

    Input shape:
        `[batch, d1, ..., dk, channels]`.

    Output shape:
        The same.

    Raises:
        ValueError: an axis is out of range or holds the channels, or `causal` is `True`.
    """

    def __init__(self, axes, **kwargs):
        super().__init__(**kwargs)
        self.axes = [int(axis) for axis in axes]

    def build(self, input_shape):
        numbers = [normalize_axis(axis, len(input_shape), "axes") for axis in self.axes]
        if len(input_shape) - 1 in numbers:
            raise ValueError(
                f"Expected `axes` of {self.name!r} to exclude the last, which holds the "
                f"channels. Received: axes={self.axes}, input_shape={tuple(input_shape)}"
            )

    def call(self, x, causal=None):
        if causal:
            raise ValueError(
                f"Expected causal=None or False: {self.name!r} depends on all positions. "
                "Received: causal=True"
            )
        mean = ops.mean(x, axis=tuple(self.axes), keepdims=True)
        return ops.broadcast_to(mean, ops.shape(x))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def operations(self, input_shape):
        """Returns 0, the multiply-adds for one example: a mean has additions only."""
        return 0

    def get_config(self):
        return {**super().get_config(), "axes": self.axes}


@register_mixer
@dataclasses.dataclass(frozen=True)
class MeanMixer(Mixer):
    """Configures `AxisMean`, which depends on all positions and cannot be causal."""

    kind: str = "mean"

    several_axes: ClassVar[bool] = True
    size_free = True

    def make_layer(self, rank, name, dtype=None):
        return AxisMean(self.context_axes(rank), name=name, dtype=dtype)
