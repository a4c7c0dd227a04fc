"""The mixer `conv`: a convolution along one axis."""

import dataclasses
from typing import ClassVar

import keras
from keras import ops

from mdnn.layers.arguments import axis_before_channels
from mdnn.layers.mixing.linear_mix_cache import LinearLayerCache
from mdnn.layers.mixing.mixer import Mixer, check_window_given, register_mixer, wired_causally
from mdnn.layers.mixing.taps import AxisTaps, known_sizes, sum_of_taps
from mdnn.option_field import option


@keras.saving.register_keras_serializable(package="mdnn")
class AxisConv(AxisTaps):
    """Applies a convolution along one axis of a grid, shared by all positions of the other axes.

    The last axis holds the channels. Depthwise: `y[..., j at axis, ..., c] =
    activation(sum_t x[..., j - past + t at axis, ..., c] * kernel[t, c] + bias[c])`, with zeros
    beyond the edges; otherwise `kernel[t, c, u]` connects all channels `c` to all units `u`.

    Args:
        axis: int, the axis to mix, not the last; the batch is axis 0, negative axes count from
            the end.
        kernel_size: Positive integer, the number of input positions per output.
        wiring: `"full"`: the kernel is centred on its output, `past = (kernel_size - 1) // 2`
            (Keras' `padding="same"`); `"causal"`: it ends at its output, `past = kernel_size - 1`.
        depthwise: bool, whether each channel has its own kernel and channels are not mixed.
        units: Positive integer, the number of output channels, `None` for the input's; only with
            `depthwise=False`.
        use_bias: bool, whether to add a bias, one number per output channel.
        activation: Activation function, any value that `mdnn.activations.get` accepts.
        kernel_initializer: initializer of the kernel; `None` for a normal distribution with
            variance `1 / fan_in`, where `fan_in` is the number of input values per output.
        bias_initializer: initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        kernel_constraint: Constraint of the kernel.
        bias_constraint: Constraint of the bias.

    Call arguments:
        x: float tensor, see the input shape.
        causal: bool, or `None` to follow the wiring. `True` skips the taps on later positions.
            `False` uses the whole kernel; with causal wiring the kernel has no taps on later
            positions, so `False` has no effect.

    Input shape:
        `[batch, d1, ..., dk, channels]`. Sizes other than the channels may be unknown.

    Output shape:
        The input's, with `units` channels.

    Weights:
        `kernel`: `[kernel_size, channels]`, or `[kernel_size, channels, units]`; then `bias`:
        `[units]`.

    Raises:
        ValueError: an argument is invalid or does not match the input.
    """

    def __init__(
        self,
        axis,
        kernel_size,
        wiring="full",
        depthwise=True,
        units=None,
        use_bias=False,
        activation=None,
        **kwargs,
    ):
        super().__init__(axis, wiring=wiring, use_bias=use_bias, activation=activation, **kwargs)
        for name, value in (("kernel_size", kernel_size), ("units", units)):
            if name == "units" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected `{name}` to be a positive integer. Received: {value!r}")
        if depthwise and units is not None:
            raise ValueError(
                "Expected `units` only with depthwise=False: a depthwise convolution keeps its "
                f"channels. Received: units={units}"
            )
        self.kernel_size = kernel_size
        self.depthwise = depthwise
        self.units = units

    def _axis(self, shape):
        """Validates an input shape and returns the axis as a non-negative number."""
        axis = axis_before_channels(self.axis, shape, self.name)
        if shape[-1] is None:
            raise ValueError(
                f"Expected a known number of channels in the input of {self.name!r}. "
                f"Received: input_shape={tuple(shape)}"
            )
        return axis

    def build(self, input_shape):
        self._axis(input_shape)
        channels = input_shape[-1]
        units = channels if self.units is None else self.units
        size = self.kernel_size
        self._add_weights(
            kernel_shape=(size, channels) if self.depthwise else (size, channels, units),
            fan_in=size if self.depthwise else size * channels,
            bias_shape=(units,),
        )
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})
        self.built = True

    def call(self, x, causal=None):
        axis = self._axis(x.shape)
        past = (self.kernel_size - 1) // 2 if self.wiring == "full" else self.kernel_size - 1
        kernel = ops.convert_to_tensor(self.kernel)
        if self._is_causal(causal):
            kernel = kernel[: past + 1]
        future = kernel.shape[0] - 1 - past
        if self.depthwise:
            taps = [kernel[t] for t in range(kernel.shape[0])]
            y = sum_of_taps(x, taps, axis, past, future)
        else:
            y = _convolve(x, kernel, axis, past, future)
        if self.bias is not None:
            y = ops.add(y, self.bias)
        return self.activation(y)

    def compute_output_shape(self, input_shape):
        self._axis(input_shape)
        return (*input_shape[:-1], input_shape[-1] if self.units is None else self.units)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example.

        Args:
            input_shape: tuple, `(batch, d1, ..., channels)`; only the batch may be `None`.

        Returns:
            A Python int.
        """
        per_channel = self.kernel_size * known_sizes(self.compute_output_shape(input_shape))
        return per_channel if self.depthwise else per_channel * input_shape[-1]

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "depthwise": self.depthwise,
            "units": self.units,
        }


def _convolve(x, kernel, axis, past, future):
    """Convolves `x` along `axis` with a kernel `[taps, channels, units]`."""
    rank = len(x.shape)
    layout = (*(a for a in range(rank) if a not in (axis, rank - 1)), axis, rank - 1)
    moved = ops.transpose(x, layout)
    sizes = ops.shape(moved)
    rows = ops.reshape(moved, (-1, sizes[-2], x.shape[-1]))
    rows = ops.pad(rows, [[0, 0], [past, future], [0, 0]])
    y = ops.conv(rows, kernel, padding="valid", data_format="channels_last")
    y = ops.reshape(y, (*sizes[:-1], kernel.shape[-1]))
    return ops.transpose(y, tuple(layout.index(a) for a in range(rank)))


@register_mixer
@dataclasses.dataclass(frozen=True)
class ConvMixer(Mixer):
    """Configures a depthwise `AxisConv` along one axis."""

    kind: str = "conv"
    wiring: str = "causal"
    # Number of input positions per output, besides the output's own.
    window: int | None = option(None, least=0)

    size_free = True
    example: ClassVar[dict] = {"window": 1}
    can_be_causal = True

    @property
    def is_causal(self):
        return wired_causally(self.wiring)

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        check_window_given(self, where)

    def make_layer(self, rank, name, dtype=None):
        (axis,) = self.context_axes(rank)
        return AxisConv(
            axis, kernel_size=self.window + 1, wiring=self.wiring, name=name, dtype=dtype
        )

    def make_caches(self, layer, grid, width, columns=True):
        (axis,) = self.context_axes(len(grid) if columns else len(grid) - 1)
        return [LinearLayerCache(layer, axis, width, False, grid, width, columns)]
