"""The mixer `mean`: the mean along axes."""

import dataclasses
from typing import ClassVar

import keras
from keras import ops

from mdnn.layers.arguments import normalize_axis
from mdnn.layers.mixing.mixer import Mixer, register_mixer


@keras.saving.register_keras_serializable(package="mdnn")
class AxisMean(keras.layers.Layer):
    """The mean over some axes of a grid, at each of their positions: mixing without weights.

    Every order of the positions is treated alike, as that of a sudoku's digits has to be.

    Args:
        axes: List of integers, the axes, the batch being 0, negative from the end; not the last,
            which holds the channels.

    Call arguments:
        x: Float tensor, see the input shape.
        causal: Nothing but `None` or `False`: a mean sees all positions.

    Input shape:
        `[batch, d1, ..., dk, channels]`.

    Output shape:
        The same.

    Raises:
        ValueError: If an axis is not there or holds the channels, or `causal` is `True`.
    """

    def __init__(self, axes, **kwargs):
        super().__init__(**kwargs)
        self.axes = [int(axis) for axis in axes]

    def build(self, input_shape):
        found = [normalize_axis(axis, len(input_shape), "axes") for axis in self.axes]
        if len(input_shape) - 1 in found:
            raise ValueError(
                f"Expected `axes` of {self.name!r} to be others than the last, which holds the "
                f"channels. Received: axes={self.axes}, input_shape={tuple(input_shape)}"
            )

    def call(self, x, causal=None):
        if causal:
            raise ValueError(f"{self.name!r} sees all positions. Received: causal=True")
        mean = ops.mean(x, axis=tuple(self.axes), keepdims=True)
        return ops.broadcast_to(mean, ops.shape(x))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def operations(self, input_shape):
        """Multiply-adds for one example: none, there are additions alone."""
        return 0

    def get_config(self):
        return {**super().get_config(), "axes": self.axes}


@register_mixer
@dataclasses.dataclass(frozen=True)
class MeanMixer(Mixer):
    """Mixes axes with `AxisMean`; it sees all positions, so it cannot be causal."""

    kind: str = "mean"

    several_axes: ClassVar[bool] = True
    size_free = True

    def make_layer(self, rank, name, dtype=None):
        return AxisMean(self.context_axes(rank), name=name, dtype=dtype)
