"""Defines `RandomOffsetPadding`: padding to a longer context at a random offset."""

import keras
import numpy as np
from keras import ops

from mdnn.layers.arguments import normalize_axis


@keras.saving.register_keras_serializable(package="mdnn")
class RandomOffsetPadding(keras.layers.Layer):
    """Places items in a longer context: padding, the items, padding.

    In training, the number of padding positions before the items is drawn for each example from
    `0 .. length - items`, so that a network learns its answer at every offset. At inference the
    offset is fixed.

    Args:
        length: Positive integer, the context's number of positions.
        seed: int or `None`, seed of the random offsets.
        axis: int, the axis of the items; the batch is axis 0, negative axes count from the
            end.
        value: Number, the padding value.
        offset: int or `None` for 0, the number of padding positions before the items at
            inference.
        return_offset: bool, whether to return the offset of each example, too.

    Call arguments:
        x: tensor of any dtype, see the input shape.
        offset: int, or integer tensor, a scalar or `[batch]`: the offset of the items, also in
            training; `None` for the random or fixed one. Values of a tensor are clipped to
            `0 .. length - items`.
        training: bool, whether offsets are random.

    Input shape:
        `[batch, ...]` with at most `length` items along `axis`; their number must be known, and
        may differ from call to call.

    Output shape:
        The input's, with `length` along `axis`, in the input's dtype; with `return_offset` a pair
        of this and the int32 offsets `[batch]`.

    Raises:
        ValueError: an argument is invalid, there are more than `length` items, or an integer
            offset leaves too few positions for them.

    Example:

    >>> RandomOffsetPadding(5, offset=1)(np.array([[7, 8, 9]]))
    [[0, 7, 8, 9, 0]]
    """

    def __init__(
        self,
        length,
        seed=None,
        axis=1,
        value=0,
        offset=None,
        return_offset=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, number, least in (("length", length, 1), ("offset", offset, 0)):
            if name == "offset" and number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ValueError(
                    f"Expected `{name}` to be an integer of at least {least}. Received: {number!r}"
                )
        self.length = length
        self.seed = seed
        self.axis = axis
        self.value = value
        self.offset = offset
        self.return_offset = return_offset
        self.seed_generator = keras.random.SeedGenerator(seed)
        # The layer has no state that depends on the input's shape.
        self.built = True

    def _room(self, shape):
        """Returns the axis, the number of items and the number of free positions, ints."""
        axis = normalize_axis(self.axis, len(shape), "axis")
        items = shape[axis]
        if items is None:
            raise ValueError(
                f"Expected a known number of items along axis {axis} of the input of "
                f"{self.name!r}. Received: input_shape={tuple(shape)}"
            )
        if items > self.length:
            raise ValueError(
                f"Expected at most {self.length} items along axis {axis} of the input of "
                f"{self.name!r}, its length. Received: {items} items"
            )
        return axis, items, self.length - items

    def _offsets(self, offset, batch, room, training):
        """Returns the number of padding positions before the items, int32 tensor `[batch]`."""
        if offset is None and training:
            return keras.random.randint(
                (batch,), 0, room + 1, dtype="int32", seed=self.seed_generator
            )
        if offset is None:
            offset = 0 if self.offset is None else self.offset
        if isinstance(offset, (int, np.integer)):
            if not 0 <= offset <= room:
                raise ValueError(
                    f"Expected `offset` of {self.name!r} in 0 .. {room}: its length is "
                    f"{self.length} and there are {self.length - room} items. Received: {offset}"
                )
        else:
            offset = ops.clip(ops.cast(offset, "int32"), 0, room)
        return ops.broadcast_to(ops.convert_to_tensor(offset, "int32"), (batch,))

    def call(self, x, offset=None, training=None):
        axis, items, room = self._room(x.shape)
        x = ops.moveaxis(x, axis, 1)
        sizes = ops.shape(x)
        batch, rest = sizes[0], sizes[2:]
        offsets = self._offsets(offset, batch, room, training)
        # Position s holds item s - offset, if that exists.
        item = ops.arange(self.length, dtype="int32")[None, :] - offsets[:, None]
        filled = ops.logical_and(item >= 0, item < items)
        row = ops.arange(batch, dtype="int32")[:, None] * items + ops.clip(item, 0, items - 1)
        # take() gathers whole rows; take_along_axis would need an index for every element.
        y = ops.take(ops.reshape(x, (batch * items, *rest)), row, axis=0)
        filled = ops.reshape(filled, (batch, self.length, *(1 for _ in rest)))
        y = ops.moveaxis(ops.where(filled, y, ops.cast(self.value, x.dtype)), 1, axis)
        return (y, offsets) if self.return_offset else y

    def compute_output_shape(self, input_shape):
        axis, _, _ = self._room(input_shape)
        shape = (*input_shape[:axis], self.length, *input_shape[axis + 1 :])
        return (shape, (input_shape[0],)) if self.return_offset else shape

    def compute_output_spec(self, x, offset=None, training=None):
        # The output has the input's dtype; Keras would assume the compute dtype.
        if not self.return_offset:
            return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)
        shape, offsets = self.compute_output_shape(x.shape)
        return keras.KerasTensor(shape, x.dtype), keras.KerasTensor(offsets, "int32")

    def get_config(self):
        return {
            **super().get_config(),
            "length": self.length,
            "seed": self.seed,
            "axis": self.axis,
            "value": self.value,
            "offset": self.offset,
            "return_offset": self.return_offset,
        }
