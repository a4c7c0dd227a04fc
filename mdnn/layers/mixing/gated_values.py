"""The values of `KeyedSum`, and the gates that say how much and how long they count."""

from keras import ops

from mdnn.layers.mixing.forgetting import Forgetting

GATES = ("write", "forget")
"""Names of the gates' projections, to one number per head."""

FORGET_BIAS = 6.0
"""Added to the logits of forget gates: at first a position counts half after 280 further ones."""

EPSILON = 1e-6
"""Added to the sum of weights, which can be zero."""


class GatedValues:
    """The part of `KeyedSum` that projects values with their gates, and reads them."""

    @property
    def gates(self):
        """List of str, the names of the gates' projections."""
        return [name for name in GATES if getattr(self, f"{name}_gate")]

    @property
    def value_size(self):
        """int, numbers of each head that `project_values` returns."""
        return self.value.units // self.heads + len(self.gates)

    def project_values(self, x):
        """Projects `[..., channels]` to values, with the logits of their gates if there are any.

        Returns:
            Tensor `[..., heads, value_size]`; the logits are the last numbers, in the order of
            `gates`.
        """
        sizes = [-1 if size is None else size for size in x.shape[:-1]]
        h = self.value.units // self.heads
        values = ops.reshape(self.value(x), (*sizes, self.heads, h))
        logits = (getattr(self, gate)(x) for gate in self.gates)
        logits = [ops.reshape(y, (*sizes, self.heads, 1)) for y in logits]
        return ops.concatenate([values, *logits], axis=-1) if logits else values

    def read_values(self, values):
        """Returns the value stored under each key of a row, float32 `[..., n, h + 1]`.

        Args:
            values: tensor `[..., n, value_size]`, the values of the row (`project_values`).

        Returns:
            The values and a channel of ones (`with_ones`), both multiplied by the write gate, if
            there is one; with `match="previous"` those of the next positions, and zeros for the
            last one: shifting the values has the same result as shifting the keys, and is cheaper.
        """
        values = self.gated_values(values)
        if self.match != "previous":
            return values
        _, later = ops.split(values, [1], axis=-2)
        return ops.concatenate([later, ops.zeros_like(values[..., :1, :])], axis=-2)

    def gated_values(self, values):
        """Returns values (`project_values`) and a channel of ones, multiplied by the write gate.

        Without a write gate they are not multiplied.

        Args:
            values: tensor `[..., value_size]`.

        Returns:
            float32 tensor `[..., h + 1]`.
        """
        values, logits = ops.cast(values, "float32"), None
        if self.gates:
            values, logits = ops.split(values, [values.shape[-1] - len(self.gates)], axis=-1)
        values = with_ones(values)
        return values * ops.sigmoid(logits[..., :1]) if self.write_gate else values

    def forgetting(self, values):
        """Returns `Forgetting` of rows of values `[..., n, value_size]`.

        `None` without a forget gate.
        """
        if not self.forget_gate:
            return None
        logits = ops.cast(values[..., -1], "float32")
        return Forgetting(ops.log_sigmoid(logits + FORGET_BIAS), self.match == "previous")


def with_ones(values):
    """Returns values `[..., h]` with a further channel of ones, whose sum is that of weights."""
    return ops.concatenate([values, ops.ones_like(values[..., :1])], axis=-1)


def averaged(sums):
    """Returns means `[..., h]` of weighted sums of `with_ones`."""
    values, weights = ops.split(sums, [sums.shape[-1] - 1], axis=-1)
    return values / (weights + EPSILON)
