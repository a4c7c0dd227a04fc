"""Defines `KeyedSum`: values are summed by keys along axes, and read by queries."""

import math

import keras
from keras import ops

from mdnn.layers.arguments import normalize_axis
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.mixing.row_sums import sums_before
from mdnn.layers.weight_rules import RuledDense, RuledLayer, get_initializer

EPSILON = 1e-6
"""Added to the sum of weights, which the features of a query may miss."""


@keras.saving.register_keras_serializable(package="mdnn")
class KeyedSum(RuledLayer):
    """Averages the values of positions whose keys match a position's query.

    Per head, `y_t = sum_s (q_t . k_s) v_s / sum_s (q_t . k_s)`, where keys and queries are the
    softmax of `sharpness` times a projection to `features` numbers, `h = channels / heads` is the
    size of a value, and `s` runs over the positions of the mixed axes, with causal wiring over t
    and those before it in row-major order. This is linear attention (arXiv 2006.16236): the sum
    over whole rows is a matrix `[features, h]`, so that the time grows with the number of positions
    and not with its square. Inside a row, the fastest of the mixed axes, all pairs are multiplied.

    With `match="previous"` the key of a position is the query of the position before it in its row
    (`k_s = q_(s-1)`; the first position of a row has none): a position reads what followed
    positions like itself, as induction heads do (arXiv 2209.11895), from the first step of training
    on, since like streams have like queries under any projection.

    With `write_gate` each position also decides how much it counts: its weights, `q_t . k_s`, are
    multiplied by the sigmoid of a projection of its own. In a long context, the few positions
    worth reading then outweigh all others.

    Args:
        axes: list of ints, increasing: the axes to mix, one or all but the batch and the
            channels. The batch is axis 0.
        heads: Positive integer that divides the number of channels.
        wiring: `"full"` or `"causal"`.
        sharpness: float, factor on the projections of keys and queries.
        features: int, numbers of each head's key and query; 0: as many as its value has. The
            more, the more keys can be told apart.
        match: `"own"`: keys have a projection of their own; `"previous"`: see above.
        write_gate: bool, see above.
        kernel_initializer: initializer of the kernels of all projections, by default scaled by
            their inputs alone: keys and queries start equally sharp with any number of features.

    Call arguments:
        x: float tensor, see the input shape.
        causal: bool, overrides the wiring in this call; `None` follows the wiring.

    Input shape:
        `[batch, d1, ..., dk, channels]`, with known sizes.

    Output shape:
        The input's.

    Raises:
        ValueError: an argument is invalid or does not match the input.
    """

    def __init__(
        self,
        axes,
        heads=1,
        wiring="causal",
        sharpness=4.0,
        features=0,
        match="own",
        write_gate=False,
        kernel_initializer="lecun_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if wiring not in ("full", "causal"):
            raise ValueError(f"Expected `wiring` to be one of full, causal. Received: {wiring!r}")
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise ValueError(f"Expected `heads` to be a positive integer. Received: {heads!r}")
        if isinstance(features, bool) or not isinstance(features, int) or features < 0:
            raise ValueError(
                f"Expected `features` to be a positive integer or 0. Received: {features!r}"
            )
        if match not in ("own", "previous"):
            raise ValueError(f"Expected `match` to be one of own, previous. Received: {match!r}")
        self.axes, self.heads, self.wiring = [int(axis) for axis in axes], heads, wiring
        self.kv_heads, self.rotary = heads, False
        self.sharpness, self.num_features, self.match = float(sharpness), features, match
        self.write_gate = bool(write_gate)
        self.kernel_initializer = get_initializer(kernel_initializer)

    def _checked_axes(self, shape):
        axes = [normalize_axis(axis, len(shape), "axes") for axis in self.axes]
        if len(axes) > 1 and axes != list(range(1, len(shape) - 1)):
            raise ValueError(
                f"Expected `axes` of {self.name!r} to be one axis, or all from 1 to "
                f"{len(shape) - 2}. Received: {self.axes}"
            )
        if shape[-1] % self.heads:
            raise ValueError(
                f"Expected the channels of the input of {self.name!r} to be a multiple of its "
                f"{self.heads} heads. Received: input_shape={tuple(shape)}"
            )
        return axes

    def build(self, input_shape):
        self._checked_axes(input_shape)
        width = input_shape[-1]
        keyed = self.heads * (self.num_features or width // self.heads)
        sizes = {"query": keyed, "key": keyed, "value": width, "result": width}
        if self.match == "previous":
            del sizes["key"]
        if self.write_gate:
            sizes["write"] = self.heads
        for index, (name, units) in enumerate(sizes.items()):
            dense = RuledDense(
                units,
                # That most positions count little is a matter of a bias.
                use_bias=name == "write",
                kernel_initializer=initializer_copy(self.kernel_initializer, index),
                dtype=self.dtype_policy,
                name=name,
            )
            dense.build(input_shape)
            setattr(self, name, dense)
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: input_shape[-1]})
        self.built = True

    def features(self, logits):
        """Returns the features of keys or queries, `[..., h]`, float32, from projections."""
        return ops.softmax(ops.cast(logits, "float32") * self.sharpness, axis=-1)

    @property
    def key_projection(self):
        """The layer that projects to keys, `RuledDense`; with `match="previous"`, to queries."""
        return self.query if self.match == "previous" else self.key

    @property
    def value_size(self):
        """int, numbers of each head that `project_values` returns."""
        return self.value.units // self.heads + self.write_gate

    def project_values(self, x):
        """Projects `[..., channels]` to values, with the logits of their gates if there are any.

        Returns:
            Tensor `[..., heads, value_size]`; the logit is the last number.
        """
        sizes = [-1 if size is None else size for size in x.shape[:-1]]
        h = self.value.units // self.heads
        values = ops.reshape(self.value(x), (*sizes, self.heads, h))
        if not self.write_gate:
            return values
        logits = ops.reshape(self.write(x), (*sizes, self.heads, 1))
        return ops.concatenate([values, logits], axis=-1)

    def read_values(self, values):
        """Returns the value stored under each key of a row, float32 `[..., n, h + 1]`.

        Args:
            values: tensor `[..., n, value_size]`, the values of the row (`project_values`).

        Returns:
            The values and a channel of ones (`with_ones`), both multiplied by their gate; with
            `match="previous"` those of the next positions, and zeros for the last one: shifting
            the values has the same result as shifting the keys, and is cheaper.
        """
        values = self.gated_values(values)
        if self.match != "previous":
            return values
        _, later = ops.split(values, [1], axis=-2)
        return ops.concatenate([later, ops.zeros_like(values[..., :1, :])], axis=-2)

    def gated_values(self, values):
        """Returns values (`project_values`) and a channel of ones, both multiplied by their gate.

        Args:
            values: tensor `[..., value_size]`.

        Returns:
            float32 tensor `[..., h + 1]`.
        """
        values = ops.cast(values, "float32")
        if not self.write_gate:
            return with_ones(values)
        values, logits = ops.split(values, [values.shape[-1] - 1], axis=-1)
        return with_ones(values) * ops.sigmoid(logits)

    def reads(self, position, other):
        """Returns whether a causal sum at `position` includes the key of position `other`."""
        return position > other if self.match == "previous" else position >= other

    def call(self, x, causal=None):
        axes = self._checked_axes(x.shape)
        causal = self.wiring == "causal" if causal is None else causal
        if len(axes) > 1:
            return self.result(self.of_rows(x, causal))
        # All other axes are like a batch.
        moved = ops.moveaxis(x, axes[0], -2)
        flat = ops.reshape(moved, (-1, 1, *moved.shape[-2:]))
        y = ops.reshape(self.of_rows(flat, causal), (-1, *moved.shape[1:]))
        return self.result(ops.moveaxis(y, -2, axes[0]))

    def of_rows(self, x, causal, before=None):
        """Mixes all positions, without the last projection.

        Args:
            x: Tensor `[batch, d1, ..., n, channels]`.
            causal: bool.
            before: float32 `[batch, heads, h, h + 1]`, sums of keys and values (`with_ones`) of
                earlier positions, read by a causal call; `None` for none.

        Returns:
            Tensor of x's shape.
        """
        sizes, n, width = x.shape[1:-2], x.shape[-2], x.shape[-1]
        rows = math.prod(sizes)

        def split(dense):
            y = ops.reshape(dense(x), (-1, rows, n, self.heads, dense.units // self.heads))
            return ops.transpose(y, (0, 1, 3, 2, 4))

        q = self.features(split(self.query))
        k = q if self.match == "previous" else self.features(split(self.key))
        v = ops.reshape(self.project_values(x), (-1, rows, n, self.heads, self.value_size))
        v = self.read_values(ops.transpose(v, (0, 1, 3, 2, 4)))
        sums = ops.matmul(ops.swapaxes(k, -1, -2), v)
        if causal:
            pairs = ops.matmul(q, ops.swapaxes(k, -1, -2))
            position = ops.arange(n)
            pairs = ops.where(self.reads(position[:, None], position[None, :]), pairs, 0.0)
            y = ops.matmul(pairs, v)
            if rows > 1:
                y = y + ops.matmul(q, sums_before(sums))
            if before is not None:
                y = y + ops.matmul(q, before[:, None])
        else:
            y = ops.matmul(q, ops.sum(sums, axis=1, keepdims=True))
        y = ops.transpose(averaged(y), (0, 1, 3, 2, 4))
        return ops.cast(ops.reshape(y, (-1, *sizes, n, width)), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        self._checked_axes(input_shape)
        return tuple(input_shape)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example; only the batch's size may be `None`."""
        axes, width = self._checked_axes(input_shape), input_shape[-1]
        size = math.prod(input_shape[1:])
        features = self.num_features or width // self.heads
        projections = 2 * width + (1 if self.match == "previous" else 2) * features * self.heads
        projections += self.heads * self.write_gate
        pairs = input_shape[axes[-1]] * (width + features * self.heads) // width
        return size * (projections + pairs + 2 * features)

    def get_config(self):
        return {
            **super().get_config(),
            "axes": self.axes,
            "heads": self.heads,
            "wiring": self.wiring,
            "sharpness": self.sharpness,
            "features": self.num_features,
            "match": self.match,
            "write_gate": self.write_gate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def with_ones(values):
    """Returns values `[..., h]` with a further channel of ones, whose sum is that of weights."""
    return ops.concatenate([values, ops.ones_like(values[..., :1])], axis=-1)


def averaged(sums):
    """Returns means `[..., h]` of weighted sums of `with_ones`."""
    values, weights = ops.split(sums, [sums.shape[-1] - 1], axis=-1)
    return values / (weights + EPSILON)
