"""Defines `KernelLayer`, the base of layers with kernels, biases and the usual options for both."""

import keras

from mdnn import activations
from mdnn.layers.weight_rules import RuledLayer, get_initializer


class KernelLayer(RuledLayer):
    """Keeps the options of kernels, biases and activation, as `keras.layers.Dense` names them.

    Args:
        use_bias: bool.
        activation: Any value that `mdnn.activations.get` accepts.
        kernel_initializer: initializer, or `None` for the layer's own.
        bias_initializer: initializer.
        kernel_regularizer: Regularizer.
        bias_regularizer: Regularizer.
        kernel_constraint: Constraint.
        bias_constraint: Constraint.
    """

    def __init__(
        self,
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
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.activation = activations.get(activation)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def _add_bias(self, shape):
        """Adds the weight `bias` and returns it; `None` without `use_bias`."""
        if not self.use_bias:
            return None
        return self.add_weight(
            name="bias",
            shape=shape,
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "activation": activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
