"""Defines `KeyedSum`: values are summed by keys along axes, and read by queries."""

import math

import keras
from keras import ops

from mdnn.layers.arguments import normalize_axis
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.mixing.forgetting import kept_sums_before
from mdnn.layers.mixing.gated_values import GATES, GatedValues, averaged
from mdnn.layers.mixing.row_sums import sums_before
from mdnn.layers.weight_rules import RuledDense, RuledLayer, get_initializer


@keras.saving.register_keras_serializable(package="mdnn")
class KeyedSum(GatedValues, RuledLayer):
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

    With `forget_gate` each position also decides how much of what was before it stays: `q_t . k_s`
    is multiplied by the gates f of the positions after s up to t, sigmoids of a projection of their
    own, so that the newest of equal keys counts most, and one position can begin anew (gated linear
    attention, arXiv 2312.06635, with one gate per head). Passes that are not causal have no order,
    and leave these gates out.

    Args:
        axes: list of ints, increasing: the axes to mix, one or all but the batch and the
            channels. The batch is axis 0.
        heads: Positive integer that divides the number of channels.
        wiring: `"full"` or `"causal"`.
        sharpness: float, factor on the projections of keys and queries.
        features: int, numbers of each head's key and query; 0: as many as its value has. The
            more, the more keys can be told apart.
        match: `"own"`: keys have a projection of their own; `"previous"`: see above.
        write_gate, forget_gate: bool, see above.
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
        forget_gate=False,
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
        self.write_gate, self.forget_gate = bool(write_gate), bool(forget_gate)
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
        sizes |= dict.fromkeys(self.gates, self.heads)
        for index, (name, units) in enumerate(sizes.items()):
            dense = RuledDense(
                units,
                # It sets how much a position writes or keeps by default.
                use_bias=name in GATES,
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
            before: float32 `[batch, heads, features, h + 1]`, sums of keys and values (`with_ones`)
                of earlier positions, read by a causal call; `None` for none.

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
        values = ops.reshape(self.project_values(x), (-1, rows, n, self.heads, self.value_size))
        values = ops.transpose(values, (0, 1, 3, 2, 4))
        v = self.read_values(values)
        if not causal:
            sums = ops.sum(ops.matmul(ops.swapaxes(k, -1, -2), v), axis=1, keepdims=True)
            y = ops.matmul(q, sums)
        else:
            y = self._causal_sums(q, k, v, self.forgetting(values), before)
        y = ops.transpose(averaged(y), (0, 1, 3, 2, 4))
        return ops.cast(ops.reshape(y, (-1, *sizes, n, width)), self.compute_dtype)

    def _causal_sums(self, q, k, v, forgetting, before):
        """Returns sums over earlier positions of `[batch, rows, heads, n, ...]`."""
        rows, position = q.shape[1], ops.arange(q.shape[-2])
        reads = self.reads(position[:, None], position[None, :])
        pairs = ops.matmul(q, ops.swapaxes(k, -1, -2))
        if forgetting is None:
            pairs = ops.where(reads, pairs, 0.0)
        else:
            pairs = pairs * forgetting.between(reads)
        y = ops.matmul(pairs, v)
        if rows == 1 and before is None:
            return y
        if forgetting is None:
            earlier = sums_before(ops.matmul(ops.swapaxes(k, -1, -2), v))
            earlier = earlier if before is None else earlier + before[:, None]
        else:
            k = k * forgetting.at_end[..., None]
            q = q * forgetting.from_before[..., None]
            sums = ops.matmul(ops.swapaxes(k, -1, -2), v)
            earlier = kept_sums_before(sums, forgetting.log_total, before)
        return y + ops.matmul(q, earlier)

    def compute_output_shape(self, input_shape):
        self._checked_axes(input_shape)
        return tuple(input_shape)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example; only the batch's size may be `None`."""
        axes, width = self._checked_axes(input_shape), input_shape[-1]
        size = math.prod(input_shape[1:])
        features = self.num_features or width // self.heads
        projections = 2 * width + (1 if self.match == "previous" else 2) * features * self.heads
        projections += self.heads * len(self.gates)
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
            "forget_gate": self.forget_gate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
