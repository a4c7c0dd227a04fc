"""Defines `AxisAttention`, multi-head self-attention along one axis."""

import math

import keras
from keras import ops

from mdnn.layers.arguments import axis_before_channels
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.weight_rules import RuledDense, RuledLayer, get_initializer

WIRINGS = ("full", "causal")


def rotate(x, base=10_000.0, position=None):
    """Applies rotary position embeddings: rotates channel pairs by position-dependent angles.

    Equation 34 of RoFormer (arXiv 2104.09864): channels `c` and `c + h/2` at position `m` are
    rotated by `m · base**(-2c/h)`. The paper pairs neighboring channels; pairing halves differs
    only by a permutation of channels, which the preceding projections can learn.

    Args:
        x: float tensor `[..., n, h]`: positions, channels of a head; `h` even.
        base: float, sets the longest wavelength, `2π · base` positions.
        position: int tensor that broadcasts to `[..., n]`; `None` for `0 .. n - 1`.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    x = ops.convert_to_tensor(x)
    half = x.shape[-1] // 2
    # Half precision cannot represent all positions above 2048 (float16) or 256 (bfloat16).
    position = ops.arange(ops.shape(x)[-2]) if position is None else position
    position = ops.cast(position, "float32")
    frequency = base ** (-ops.arange(half, dtype="float32") / half)
    angle = position[..., None] * frequency
    cos, sin = ops.cast(ops.cos(angle), x.dtype), ops.cast(ops.sin(angle), x.dtype)
    a, b = x[..., :half], x[..., half:]
    return ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


@keras.saving.register_keras_serializable(package="mdnn")
class AxisAttention(RuledLayer):
    """Applies multi-head self-attention along one axis of a grid.

    Each position of the other axes is a separate sequence; the last axis holds the channels.
    Computes `softmax(q kᵀ / sqrt(h)) v` with `h = channels / heads` per head, with projections to
    q, k and v and an output projection ("Attention is all you need", arXiv 1706.03762). With fewer
    `kv_heads`, several heads in a row share one k and v (grouped-query attention, arXiv
    2305.13245).
    The projections are `keras.layers.Dense`, so Keras' quantization and LoRA apply to them.

    Args:
        axis: int, the axis to mix, not the last; the batch is axis 0, negative axes count from
            the end.
        heads: Positive integer that divides the number of channels.
        kv_heads: Positive integer that divides `heads`: heads of k and v; `None` for `heads`.
        wiring: `"full"`, or `"causal"`: a position attends to itself and earlier positions.
        rotary: bool, whether to apply rotary position embeddings to q and k (RoFormer, arXiv
            2104.09864). Without them, full attention is equivariant to permutations of the axis.
        rotary_base: Positive float, sets the longest wavelength of the rotary embeddings.
        use_bias: bool, whether the four projections have biases.
        dropout: float in `[0, 1)`, the share of attention weights dropped in training.
        seed: int or `None`, for the dropout.
        kernel_initializer: initializer of the four projections' kernels.
        bias_initializer: initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.

    Call arguments:
        x: float tensor, see the input shape.
        causal: bool, overrides the wiring in this call; `None` follows the wiring.
        training: bool, whether to drop attention weights.

    Input shape:
        `[batch, d1, ..., dk, channels]`. Sizes other than the channels may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: an argument is invalid or does not match the input.
    """

    def __init__(
        self,
        axis,
        heads,
        wiring="full",
        rotary=False,
        use_bias=False,
        dropout=0.0,
        seed=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        kv_heads=None,
        rotary_base=10_000.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise ValueError(f"Expected `heads` to be a positive integer. Received: {heads!r}")
        kv_heads = heads if kv_heads is None else kv_heads
        if isinstance(kv_heads, bool) or not isinstance(kv_heads, int) or kv_heads < 1:
            raise ValueError(
                f"Expected `kv_heads` to be a positive integer. Received: {kv_heads!r}"
            )
        if heads % kv_heads:
            raise ValueError(f"Expected `kv_heads` to divide heads={heads}. Received: {kv_heads!r}")
        if not rotary_base > 0:
            raise ValueError(f"Expected `rotary_base` above 0. Received: {rotary_base!r}")
        if wiring not in WIRINGS:
            raise ValueError(
                f"Expected `wiring` to be one of {', '.join(WIRINGS)}. Received: {wiring!r}"
            )
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)):
            raise ValueError(f"Expected `dropout` to be a number. Received: {dropout!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"Expected `dropout` in [0, 1). Received: {dropout!r}")
        self.axis = axis
        self.heads, self.kv_heads = heads, kv_heads
        self.wiring = wiring
        self.rotary, self.rotary_base = rotary, rotary_base
        self.use_bias = use_bias
        self.dropout = dropout
        self.seed = seed
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def _axis(self, shape):
        """Validates an input shape and returns the axis as a non-negative number."""
        axis = axis_before_channels(self.axis, shape, self.name)
        channels = shape[-1]
        if channels is None or channels % self.heads:
            raise ValueError(
                f"Expected the channels of the input of {self.name!r} to be a multiple of its "
                f"{self.heads} heads. Received: input_shape={tuple(shape)}"
            )
        if self.rotary and channels // self.heads % 2:
            raise ValueError(
                f"Expected an even number of channels per head of {self.name!r}: rotary positions "
                f"turn pairs. Received: input_shape={tuple(shape)}, heads={self.heads}"
            )
        return axis

    def build(self, input_shape):
        self._axis(input_shape)
        width = input_shape[-1]
        shared = width // self.heads * self.kv_heads
        self.query = self._projection(input_shape, "query", 0, width)
        self.key = self._projection(input_shape, "key", 1, shared)
        self.value = self._projection(input_shape, "value", 2, shared)
        self.result = self._projection(input_shape, "result", 3, width)
        self.drop = keras.layers.Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: input_shape[-1]})
        self.built = True

    def _projection(self, input_shape, name, index, units):
        dense = RuledDense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=initializer_copy(self.kernel_initializer, index),
            bias_initializer=initializer_copy(self.bias_initializer, index),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
        )
        dense.build(input_shape)
        return dense

    def call(self, x, causal=None, training=None):
        rank = len(x.shape)
        axis = self._axis(x.shape)
        sizes = ops.shape(x)
        per_head = x.shape[-1] // self.heads
        split = (*sizes[:-1], self.heads, per_head)
        # [batch, d1..dk, heads, h] -> [batch, other axes, heads, n, h] -> [-1, n, h]: one sequence
        # per head. Not ops.dot_product_attention: it takes 1.0 to 1.5 times as long on a CPU and
        # has no dropout.
        layout = (*(a for a in range(rank) if a not in (axis, rank - 1)), rank - 1, axis, rank)
        order = tuple(split[a] for a in layout)

        def heads_apart(dense, heads):
            y = ops.reshape(dense(x), (*sizes[:-1], heads, per_head))
            return ops.reshape(ops.transpose(y, layout), (-1, sizes[axis], per_head))

        q = heads_apart(self.query, self.heads)
        k, v = (heads_apart(dense, self.kv_heads) for dense in (self.key, self.value))
        if self.rotary:
            q, k = (rotate(y, self.rotary_base) for y in (q, k))
        q = q * (1 / math.sqrt(per_head))
        group = self.heads // self.kv_heads
        if group > 1:
            # The heads of a group, one after another, meet the same keys.
            q = ops.reshape(q, (-1, group * sizes[axis], per_head))
        scores = ops.cast(ops.matmul(q, ops.swapaxes(k, -1, -2)), "float32")
        if self.wiring == "causal" if causal is None else causal:
            position = ops.arange(sizes[axis])
            past = position[:, None] >= position[None, :]
            if group > 1:
                past = ops.tile(past, (group, 1))
            scores = ops.where(past, scores, -1e9)
        weights = ops.cast(ops.softmax(scores, axis=-1), v.dtype)
        y = ops.reshape(ops.matmul(self.drop(weights, training=training), v), order)
        back = tuple(layout.index(a) for a in range(rank + 1))
        return self.result(ops.reshape(ops.transpose(y, back), sizes))

    def compute_output_shape(self, input_shape):
        self._axis(input_shape)
        return tuple(input_shape)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example.

        Scores of later positions count, too: they are computed, then masked.

        Args:
            input_shape: tuple, `(batch, d1, ..., channels)`; only the batch may be `None`.

        Returns:
            A Python int.
        """
        axis = self._axis(input_shape)
        if None in input_shape[1:]:
            raise ValueError(
                f"Expected all sizes but the batch's to be known. Received: {tuple(input_shape)}"
            )
        size, width = math.prod(input_shape[1:]), input_shape[-1]
        shared = width // self.heads * self.kv_heads
        return size * 2 * (width + shared) + 2 * size * input_shape[axis]

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "heads": self.heads,
            "kv_heads": self.kv_heads,
            "wiring": self.wiring,
            "rotary": self.rotary,
            "rotary_base": self.rotary_base,
            "use_bias": self.use_bias,
            "dropout": self.dropout,
            "seed": self.seed,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
