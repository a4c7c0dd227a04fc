"""A dense layer along one axis."""

import keras

from mdnn.layers.multidim_dense import MultidimDense


@keras.saving.register_keras_serializable(package="mdnn")
class AxisDense(MultidimDense):
    """A dense layer along one axis, the same at every position of the others.

    `y[..., j at axis, ...] = activation(sum_i x[..., i at axis, ...] * kernel[i, j] + bias[j])`:
    `keras.layers.Dense` on any axis, the way to resize one. On the last axis,
    `keras.layers.Dense` itself does the same and can be quantised.

    Args:
        axis: Integer, the axis to mix, the batch being 0, negative from the end.
        units: Positive integer, the axis's output size.
        use_bias: Boolean, whether to add a bias, one number per unit.
        activation: What `mdnn.activations.get` takes.
        kernel_initializer: Initializer for the kernel `[n_in, units]`; `None` means a normal
            distribution with variance `1 / n_in`.
        bias_initializer: Initializer for the bias.
        kernel_regularizer: Regularizer for the kernel.
        bias_regularizer: Regularizer for the bias.
        kernel_constraint: Constraint for the kernel.
        bias_constraint: Constraint for the bias.

    Input shape:
        `[batch, d1, ..., dn]`; the size of `axis` must be known.

    Output shape:
        The input's, with `units` at `axis`.

    Raises:
        ValueError: If an argument is none of the above or does not fit the input.

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
