"""The mixer `local`: local connections along one axis."""

import dataclasses
from typing import ClassVar

import keras
from keras import ops

from mdnn.layers.arguments import check_sharing, normalize_axis, sharing_by_axis
from mdnn.layers.mixing.linear_mix_cache import LinearLayerCache
from mdnn.layers.mixing.mixer import (
    Mixer,
    check_groups,
    check_window_given,
    narrowed_groups,
    register_mixer,
    wired_causally,
)
from mdnn.layers.mixing.taps import AxisTaps, known_sizes, sum_of_taps
from mdnn.option_field import option


@keras.saving.register_keras_serializable(package="mdnn")
class AxisLocal(AxisTaps):
    """Applies a locally connected layer along one axis, with its own weights at each position.

    `y[..., j at axis, ...] = activation(sum_t x[..., j - window + t at axis, ...] * kernel[j, t] +
    bias[j])` with `t = 0 .. 2 · window` and zeros beyond the edges. It is a convolution whose
    kernel differs between positions, or a `MultidimDense` with local wiring that stores and
    computes only the `n · (2 · window + 1)` live weights.

    Args:
        axis: int, the axis to mix; the batch is axis 0, negative axes count from the end.
        window: Non-negative integer, the largest distance to an input position.
        wiring: `"full"`, or `"causal"`: inputs are the position itself and the `window` positions
            before it.
        sharing: As in `MultidimDense`: `"shared"` (one kernel at every position of the other
            axes), `"separate"` (a kernel per position of the other axes), or a tuple of axes over
            which kernels differ.
        groups: Positive integer, the number of groups of neighboring channels (the last axis) with
            their own kernels; it divides the number of channels.
        use_bias: bool, whether to add a bias: one number per position of the axis and position
            on the axes over which kernels differ, channel groups included.
        activation: Activation function, any value that `mdnn.activations.get` accepts.
        kernel_initializer: initializer of the kernel; `None` for a normal distribution with
            variance `1 / fan_in`, where `fan_in` is the mean number of inputs per output.
        bias_initializer: initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        kernel_constraint: Constraint of the kernel.
        bias_constraint: Constraint of the bias.

    Call arguments:
        x: float tensor, see the input shape.
        causal: bool, or `None` to follow the wiring. `True` uses only the taps on the position
            itself and earlier positions, `False` all taps; the kernel always stores both.

    Input shape:
        `[batch, d1, ..., dn]`. The sizes of the axis and of the axes over which kernels differ
        must be known.

    Output shape:
        The input's.

    Weights:
        `kernel`: `[sizes of the axes over which it differs..., groups (if more than 1), n,
        2 · window + 1]`; then `bias`, without the last of these. Weights beyond the edges are
        stored, but not used.

    Raises:
        ValueError: an argument is invalid or does not match the input.
    """

    def __init__(
        self,
        axis,
        window,
        wiring="full",
        sharing="shared",
        groups=1,
        use_bias=False,
        activation=None,
        **kwargs,
    ):
        super().__init__(axis, wiring=wiring, use_bias=use_bias, activation=activation, **kwargs)
        for name, value, least in (("window", window, 0), ("groups", groups, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"Expected `{name}` to be an integer of at least {least}. Received: {value!r}"
                )
        self.window = window
        self.sharing = check_sharing(sharing)
        self.groups = groups

    def _resolve(self, shape):
        """Returns the axis and the other axes over which kernels differ, without channel groups."""
        rank = len(shape)
        axis = normalize_axis(self.axis, rank, "axis")
        over = sharing_by_axis(self.sharing, (axis,), rank)[axis]
        if over == "tied":  # with a single axis, the same as "shared"
            over = ()
        if self.groups > 1:
            if rank - 1 in (axis, *over):
                raise ValueError(
                    f"Expected groups=1 where {self.name!r} mixes the last axis or has a kernel "
                    f"for every position on it. Received: groups={self.groups}, axis={self.axis}, "
                    f"sharing={self.sharing!r}, input_shape={tuple(shape)}"
                )
            if shape[-1] is None or shape[-1] % self.groups:
                raise ValueError(
                    f"Expected the channels of the input of {self.name!r} to be a multiple of its "
                    f"{self.groups} groups. Received: input_shape={tuple(shape)}"
                )
        if any(shape[a] is None for a in (axis, *over)):
            raise ValueError(
                f"Expected the sizes of axes {sorted((axis, *over))} to be known: the kernel of "
                f"{self.name!r} differs over them. Received: input_shape={tuple(shape)}"
            )
        return axis, over

    def build(self, input_shape):
        axis, over = self._resolve(input_shape)
        size = input_shape[axis]
        lead = tuple(input_shape[a] for a in over) + ((self.groups,) if self.groups > 1 else ())
        seen = sum(max(size - d, 0) for d in range(self.window + 1))
        if self.wiring == "full":
            seen = 2 * seen - size
        self._add_weights(
            kernel_shape=(*lead, size, 2 * self.window + 1),
            fan_in=seen / size,
            bias_shape=(*lead, size),
        )
        fixed = {a: input_shape[a] for a in sorted((axis, *over))}
        if self.groups > 1:
            fixed[-1] = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=fixed)
        self.built = True

    def _along_input(self, weight, shape, axis, over):
        """Reshapes `[taps, over..., groups, n]` to broadcast: `[taps, 1, sizes or ones]`."""
        rank = len(shape)
        if self.groups > 1:
            weight = ops.repeat(weight, shape[-1] // self.groups, axis=-2)
            over = (*over, rank - 1)
        axes = (*over, axis)
        order = sorted(range(len(axes)), key=axes.__getitem__)
        weight = ops.transpose(weight, (0, *(1 + i for i in order)))
        sizes = [shape[a] if a in axes else 1 for a in range(rank)]
        return ops.reshape(weight, (-1, *sizes))

    def call(self, x, causal=None):
        axis, over = self._resolve(x.shape)
        kernel = ops.moveaxis(ops.convert_to_tensor(self.kernel), -1, 0)
        after = 0 if self._is_causal(causal) else self.window
        kernel = self._along_input(kernel[: self.window + 1 + after], x.shape, axis, over)
        taps = [kernel[t] for t in range(kernel.shape[0])]
        y = sum_of_taps(x, taps, axis, self.window, after)
        if self.bias is not None:
            bias = ops.convert_to_tensor(self.bias)[None]
            # Not `ops.add`: Keras 3.15 on TensorFlow adds [1, n, 1] as if it were [n].
            y = y + self._along_input(bias, x.shape, axis, over)[0]
        return self.activation(y)

    def compute_output_shape(self, input_shape):
        self._resolve(input_shape)
        return tuple(input_shape)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example with the layer's wiring.

        Args:
            input_shape: tuple, `(batch, d1, ..., dn)`; only the batch may be `None`.

        Returns:
            A Python int.
        """
        self._resolve(input_shape)
        taps = self.window + 1 if self.wiring == "causal" else 2 * self.window + 1
        return taps * known_sizes(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "window": self.window,
            "sharing": self.sharing,
            "groups": self.groups,
        }


@register_mixer
@dataclasses.dataclass(frozen=True)
class LocalMixer(Mixer):
    """Configures `AxisLocal` along one axis."""

    kind: str = "local"
    sharing: str = option("groups", choices=("groups", "shared", "separate"))
    # Number of channel groups, each with its own kernel, for sharing = "groups".
    groups: int = option(1, least=1)
    wiring: str = "causal"
    # Largest distance to an input position.
    window: int | None = option(None, least=0)

    example: ClassVar[dict] = {"window": 1}
    can_be_causal = True

    @property
    def positionwise(self):
        return self.sharing == "separate"

    @property
    def is_causal(self):
        return wired_causally(self.wiring)

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        check_window_given(self, where)
        check_groups(self, where, width, channels)

    def narrowed(self, width, narrow):
        return narrowed_groups(self, width, narrow) if self.groups > 1 else self

    def make_layer(self, rank, name, dtype=None):
        (axis,) = self.context_axes(rank)
        grouped = self.sharing == "groups"
        return AxisLocal(
            axis,
            window=self.window,
            wiring=self.wiring,
            sharing="shared" if grouped else self.sharing,
            groups=self.groups if grouped else 1,
            name=name,
            dtype=dtype,
        )

    def make_caches(self, layer, grid, width, columns=True):
        (axis,) = self.context_axes(len(grid) if columns else len(grid) - 1)
        groups = width if self.positionwise else layer.groups
        return [LinearLayerCache(layer, axis, groups, self.positionwise, grid, width, columns)]
