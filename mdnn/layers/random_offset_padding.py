"""Padding before and after, at a random place."""

import keras
import numpy as np
from keras import ops

from mdnn.layers.arguments import normalize_axis


@keras.saving.register_keras_serializable(package="mdnn")
class RandomOffsetPadding(keras.layers.Layer):
    """Lays items into a longer context: padding, the items, padding.

    In training, the run of padding before the items has a random length, drawn for each example
    alone from `0 .. length - items`, so that a network learns its answer for every place. At
    inference the place is fixed.

    Args:
        length: Positive integer, the context's number of positions.
        seed: Integer or `None`, for the random places.
        axis: Integer, the axis that the items lie along, the batch being 0, negative from the end.
        value: Number that padding is filled with.
        offset: Integer or `None` for 0, the number of padding positions before the items at
            inference.
        return_offset: Boolean, whether to return the offset of each example as well.

    Call arguments:
        x: Tensor of any dtype, see the input shape.
        offset: Integer, or integer tensor: one for all or `[batch]`, the place of the items, in
            training, too; `None` for the random or fixed one. In a tensor, places
            outside `0 .. length - items` mean the nearest inside.
        training: Boolean, whether places are random.

    Input shape:
        `[batch, ...]` with at most `length` items along `axis`; their number must be known, and
        may differ from call to call.

    Output shape:
        The input's, with `length` along `axis`, and the input's dtype; with `return_offset` a
        pair of that and the int32 offsets `[batch]`.

    Raises:
        ValueError: If an argument is none of the above, there are more than `length` items, or
            an integer offset leaves no place for them.

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
        # Nothing depends on the input's shape.
        self.built = True

    def _room(self, shape):
        """The axis, the number of items, and how many positions they leave free: ints."""
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
        """The number of padding positions before the items: int32 tensor `[batch]`."""
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
        # Position s of an example holds its item s - offset, if there is one.
        item = ops.arange(self.length, dtype="int32")[None, :] - offsets[:, None]
        held = ops.logical_and(item >= 0, item < items)
        row = ops.arange(batch, dtype="int32")[:, None] * items + ops.clip(item, 0, items - 1)
        # Whole rows are gathered: take_along_axis would want an index for every element.
        y = ops.take(ops.reshape(x, (batch * items, *rest)), row, axis=0)
        held = ops.reshape(held, (batch, self.length, *(1 for _ in rest)))
        y = ops.moveaxis(ops.where(held, y, ops.cast(self.value, x.dtype)), 1, axis)
        return (y, offsets) if self.return_offset else y

    def compute_output_shape(self, input_shape):
        axis, _, _ = self._room(input_shape)
        shape = (*input_shape[:axis], self.length, *input_shape[axis + 1 :])
        return (shape, (input_shape[0],)) if self.return_offset else shape

    def compute_output_spec(self, x, offset=None, training=None):
        # Keras would take the compute dtype, which integers do not have.
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
