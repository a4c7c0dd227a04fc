"""Variables of a network that are stored as codes of 8 or 4 bits."""

import contextlib
import contextvars
import math

import keras
import numpy as np
from keras import ops

from mdnn.runs.packed_words import (
    BITS,
    expanded_columns,
    expanded_matrix,
    packed_words,
    row_product,
    rows_product,
)
from mdnn.runs.quantization import expanded

FEW_ROWS = 4
"""Most rows that are multiplied straight from the codes; for more the matrix is expanded."""

_BOUND = contextvars.ContextVar("mdnn_bound_codes", default=None)


@contextlib.contextmanager
def bound_codes(values):
    """Uses other tensors as the codes of packed variables inside the context.

    Args:
        values: dict from the paths of `PackedVariable`s to lists of tensors in the order of
            `parts`.
    """
    token = _BOUND.set(values)
    try:
        yield
    finally:
        _BOUND.reset(token)


class PackedVariable(keras.Variable):
    """A variable that stores only the codes of its value.

    Its `value` is expanded again for each use. Layers that know it multiply from the codes
    (`product`) or look up rows (`rows`), and make no float32 copy of the matrix.

    Attributes:
        stored: `mdnn.runs.quantization.Stored`.
        parts: list of tensors, the arrays of the file or, with `inputs`, those of `packed_words`.
        inputs: the axis of a matrix that is cut into groups and summed in products, `"first"` or
            `"last"`; `None` for other arrays.
    """

    def take_codes(self, stored, arrays, packed=True):
        """Takes the arrays of a weights file in place of a value.

        Args:
            stored: `Stored`.
            arrays: list of arrays in the order of `Stored.names`.
            packed: bool, whether the tensors are made at once; otherwise they are made again for
                each use, for a network that is read and not run.
        """
        self.stored, self.inputs = stored, grouped_axis(stored, arrays[0])
        self._arrays, self._parts, self.trainable = arrays, None, False
        if packed:
            self._parts, self._arrays = self.parts, None

    @property
    def parts(self):
        if self._parts is not None:
            return self._parts
        arrays = self._arrays
        if self.inputs is not None:
            arrays = packed_words(self.stored, arrays)
        return [ops.convert_to_tensor(np.ascontiguousarray(array)) for array in arrays]

    def _tensors(self):
        bound = _BOUND.get()
        return self.parts if bound is None else bound[self.path]

    @property
    def value(self):
        value = super().value
        if 0 < len(self.shape) == len(value.shape):
            # Its value in a `keras.StatelessScope`; its own, if it has one, is an unused scalar.
            return value
        if self.inputs is None:
            return self._maybe_autocast(expanded(self.stored, *self._tensors()))
        matrix = expanded_matrix(self.stored, self._tensors())
        return self._maybe_autocast(matrix if self.inputs == "first" else ops.transpose(matrix))

    def as_array(self):
        """Returns the value as a float32 array; floats without the backend."""
        if self._arrays is not None and self.stored.dtype in ("float16", "float32"):
            return np.asarray(self._arrays[0], "float32")
        return ops.convert_to_numpy(ops.cast(self.value, "float32"))

    def _deferred_initialize(self):
        """Makes no value at the end of the `keras.StatelessScope` that the variable was made in."""

    def _direct_assign(self, value):
        raise TypeError(f"{self.path} is held in {self.stored.dtype} and cannot be assigned")

    def product(self, x, inputs="first"):
        """Returns the product of `x` with the matrix, or with its transpose.

        Args:
            x: float tensor `[..., inputs]`.
            inputs: `"first"` for `x @ matrix`, `"last"` for `x @ matrixᵀ`.

        Returns:
            Tensor `[..., outputs]`; `None` if the matrix has no layout for it.
        """
        if self.inputs != inputs:
            return None
        rows, tensors = x.shape[:-1], self._tensors()
        if None in rows or math.prod(rows) > FEW_ROWS:
            return rows_product(self.stored, tensors, x)
        flat = ops.reshape(x, (-1, x.shape[-1]))
        found = [row_product(self.stored, tensors, flat[k]) for k in range(math.prod(rows))]
        return ops.cast(ops.reshape(ops.stack(found), (*rows, -1)), x.dtype)

    def rows(self, index):
        """Returns rows of a table `[n, width]`, float32 `[..., width]`, for integers `[...]`.

        `None` if the table has no layout for it.
        """
        if self.inputs != "last":
            return None
        return expanded_columns(self.stored, self._tensors(), index)


def grouped_axis(stored, codes):
    """Returns which axis of a matrix is cut into groups of whole words; `None` for other arrays."""
    if len(stored.shape) != 2 or stored.dtype not in BITS:
        return None
    bits = BITS[stored.dtype]
    group = codes.shape[1] * 8 // bits
    axis = 0 if stored.turned else 1
    if stored.shape[axis] % group or group * bits % 32:
        return None
    return ("first", "last")[axis]
