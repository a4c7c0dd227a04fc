"""The base of residual blocks: norm, sum and dropout around a function, and running blocks."""

import keras
from keras import layers, ops

from mdnn import activations
from mdnn.layers.fused_ops import silu_gate
from mdnn.layers.rms_norm import RMSNorm
from mdnn.layers.slabs import grid_in_slabs
from mdnn.layers.weight_rules import (
    RuledDense,
    RuledLayer,
    RuledLayerNormalization,
    get_initializer,
)


def serialized_blocks(blocks):
    """Returns blocks for the config of a layer, which builds them under its own name."""
    configs = [keras.saving.serialize_keras_object(block) for block in blocks]
    for config in configs:
        config.pop("build_config", None)
    return configs


def make_norm(kind, name, dtype=None, epsilon=1e-5):
    """Returns the normalization layer for `"rms"` or `"layer"`; `None` for `"none"`.

    Args:
        kind: `"rms"`, `"layer"` or `"none"`.
        name: str, the layer's name.
        dtype: dtype policy of the layer, or `None`.
        epsilon: float, added to the mean square.
    """
    if kind == "none":
        return None
    if kind == "rms":
        return RMSNorm(axis=-1, epsilon=epsilon, name=name, dtype=dtype)
    return RuledLayerNormalization(axis=-1, epsilon=epsilon, name=name, dtype=dtype)


def make_activation(word):
    """Returns the activation function of a name; `None` for `"none"`."""
    return None if word == "none" else activations.get(word)


def gated(word, function, u, v):
    """Returns `function(u) * v`; `word` is the name of the function.

    Args:
        word: str, the function's config word.
        function: activation.
        u, v: tensors of one shape.
    """
    return silu_gate(u, v) if word == "silu" else function(u) * v


def check_width(function, word, width):
    """Refuses an activation that changes a width: `glu`, or `sort2` of an odd width.

    Args:
        function: activation, or `None`.
        word: str, its config word, for errors.
        width: int, the number of channels.

    Raises:
        ValueError: the activation changes the width.
    """
    if function is not None and function(ops.zeros((1, width))).shape[-1] != width:
        raise ValueError(f"activation {word!r} does not keep a width of {width}")


class ResidualBlock(RuledLayer):
    """Base class of residual blocks: norm, residual sum and dropout around a function f.

    Args:
        norm: `"rms"`, `"layer"` or `"none"`.
        residual: `"pre"`: `h + f(norm(h))`; `"post"`: `norm(h + f(h))`; `"none"`: `f(norm(h))`.
        dropout: float, rate of dropout on f's output.
        bias: bool, whether dense layers have a bias.
        scale: float, factor on the initial values of f's last dense kernel.
        seed: int, seed of dropout.
        axis_names: names of the context axes of the input, used in the names of weights; `None`
            for numbers.
        epsilon: float, added to the norm's mean square.
        slab: int, largest number of positions for which functions of single positions are computed
            at once (see `mdnn.layers.slabs`); 0: all.
        remat: bool, whether gradients recompute f instead of storing its activations.

    Call arguments:
        x: the input.
        options: `mdnn.models.call_options.CallOptions`; `None` for the layers' own wiring.
        training: bool.
        mix: function `(layer, mixer, input)` that returns the output and is called in place of
            `mixer.apply(layer, input, options)`, once for each of `mixing_uses`; `None` to apply
            the mixers.
    """

    def __init__(
        self,
        norm="rms",
        residual="pre",
        dropout=0.0,
        bias=False,
        scale=1.0,
        seed=None,
        axis_names=None,
        epsilon=1e-5,
        slab=0,
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.slab, self.remat = slab, remat
        self.seed = seed
        self.axis_names = None if axis_names is None else tuple(axis_names)
        self.norm, self.residual, self.bias = norm, residual, bias
        self.rate, self.scale = dropout, scale
        self.norm_layer = make_norm(norm, "norm", self.dtype_policy, epsilon)
        self.dropout = None
        if dropout:
            self.dropout = layers.Dropout(
                dropout, seed=seed, name="dropout", dtype=self.dtype_policy
            )

    def build(self, input_shape):
        if self.norm_layer is not None:
            self.norm_layer.build(input_shape)
        self.build_transform(tuple(input_shape))

    def make_dense(self, units, name, input_shape, scale=1.0, bias=None):
        """Returns a built dense layer over the channels, its initial values scaled by `scale`.

        Args:
            units: int, output channels.
            name: str, the layer's name.
            input_shape: tuple, shape of its input.
            scale: float, factor on the initial kernel.
            bias: bool; `None` for that of the block.
        """
        start = get_initializer(
            "variance_scaling", scale=scale**2, mode="fan_in", distribution="truncated_normal"
        )
        dense = RuledDense(
            units,
            use_bias=self.bias if bias is None else bias,
            kernel_initializer=start,
            name=name,
            dtype=self.dtype_policy,
        )
        dense.build(input_shape)
        return dense

    def call(self, x, options=None, training=None, mix=None):
        def transform(x):
            return self.transform(self.normed(x), options, training, mix)

        if self.remat and training and mix is None:
            transform = keras.remat(transform)
        return self.add(x, transform(x), training)

    def normed(self, x):
        """Returns the input of f: normalized, except with `residual="post"`."""
        pre = self.norm_layer is not None and self.residual != "post"
        return self.norm_layer(x) if pre else x

    def add(self, x, y, training=None):
        """Returns the block's output from its input `x` and f's output `y`.

        Args:
            x, y: tensors of one shape.
            training: bool, whether dropout is active.
        """
        if self.dropout is not None:
            y = self.dropout(y, training=training)
        if self.residual != "none":
            y = x + y
        if self.norm_layer is not None and self.residual == "post":
            y = self.norm_layer(y)
        return y

    @property
    def can_be_causal(self):
        """bool, true if the block supports `causal=True`."""
        return True

    def mixing_uses(self):
        """Returns the uses of position-mixing layers, in the order in which they run.

        This is not a property, because Keras saves the contents of properties.

        Returns:
            List of pairs `(layer, mixer)`. The mixer has the methods `make_caches` and `apply` of
            `mdnn.layers.mixing.Mixer`.
        """
        return []

    def mixing_width(self, width):
        """Returns the channels that its mixers see, from the channels of its input."""
        return width

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "norm": self.norm,
            "residual": self.residual,
            "dropout": self.rate,
            "bias": self.bias,
            "scale": self.scale,
            "seed": self.seed,
            "axis_names": self.axis_names,
            "epsilon": self.epsilon,
            "slab": self.slab,
            "remat": self.remat,
        }


class PositionBlock(ResidualBlock):
    """Base class of blocks whose f acts on each position alone: f is computed in slabs."""

    def call(self, x, options=None, training=None, mix=None):
        def transform(x):
            return self.transform(self.normed(x), options, training, mix)

        y = grid_in_slabs(transform, [x], self.slab, bool(training), self.variables)
        return self.add(x, y, training)


def run_blocks(blocks, x, options=None, training=None, mix=None, marks=None):
    """Runs blocks one after another.

    Args:
        blocks: layers.
        x: `[batch, t1, ..., tk, channels]`.
        options, training, mix: call arguments of `ResidualBlock`.
        marks: `[batch, t1, ..., tk]`, passed to the blocks with `takes_marks`; see
            `mdnn.models.network.Network.marks`.

    Returns:
        A tensor of x's shape.
    """
    for block in blocks:
        # `mix` is passed on only where it is used: any layer of the same shape may be a block.
        more = {} if mix is None else {"mix": mix}
        if getattr(block, "takes_marks", False):
            more["marks"] = marks
        x = block(x, options=options, training=training, **more)
    return x


def ends(block):
    """Returns the number of values that a block's norm, dropout and sum write per input value."""
    parts = (block.norm_layer is not None, block.dropout is not None, block.residual != "none")
    return sum(parts)


def product(sizes):
    total = 1
    for size in sizes:
        total *= size
    return total
