"""Defines `AxisDense`, a dense layer along one axis."""

import keras

from mdnn.layers.multidim_dense import MultidimDense


@keras.saving.register_keras_serializable(package="mdnn")
class AxisDense(MultidimDense):
    """Applies a dense layer along one axis, with the same kernel at all positions of other axes.

    `y[..., j at axis, ...] = activation(sum_i x[..., i at axis, ...] * kernel[i, j] + bias[j])`.
    This is `keras.layers.Dense` on any axis and can resize it. On the last axis, prefer
    `keras.layers.Dense`, which also supports quantization.

    Args:
        axis: int, the axis to mix; the batch is axis 0, negative axes count from the end.
        units: Positive integer, the axis's output size.
        use_bias: bool, whether to add a bias `[units]`.
        activation: Any value that `mdnn.activations.get` accepts.
        kernel_initializer: initializer for the kernel `[n_in, units]`; `None` for a normal
            distribution with variance `1 / n_in`.
        bias_initializer: initializer for the bias.
        kernel_regularizer: Regularizer for the kernel.
        bias_regularizer: Regularizer for the bias.
        kernel_constraint: Constraint for the kernel.
        bias_constraint: Constraint for the bias.

    Input shape:
        `[batch, d1, ..., dn]`; the size of `axis` must be known.

    Output shape:
        The input's, with `units` at `axis`.

    Raises:
        ValueError: an argument is invalid or does not match the input.

    Example:

    >>> AxisDense(axis=1, units=5)(keras.Input((10, 3))).shape
    (None, 5, 3)
    """

    def __init__(
        self,
        axis,
        units,
        use_bias=False,
        activation=None,
        kernel_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        for name, value in (("axis", axis), ("units", units)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"Expected `{name}` to be an integer. Received: {value!r}")
        super().__init__(
            axes=axis,
            sharing="shared",
            units=units,
            use_bias=use_bias,
            activation=activation,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )

    def get_config(self):
        config = super().get_config()
        config["axis"] = config["axes"]
        for name in (
            "axes",
            "sharing",
            "execution",
            "order",
            "wiring",
            "self_connection",
            "window",
            "density",
            "seed",
        ):
            del config[name]
        return config
