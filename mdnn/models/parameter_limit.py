"""A limit on a network's weights that acts before they take memory."""

import contextlib
import math
import threading

import keras

from mdnn.errors import MdnnError


class TooLargeError(MdnnError):
    """A network of more weights than it may have."""


_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def at_most(parameters):
    """While it is entered, layers are refused the weight that would be one too many.

    Args:
        parameters: int, how many weights all layers that are built meanwhile may have together.

    Raises:
        TooLargeError: before the weight takes memory.
    """
    with _ONE_AT_A_TIME:
        add_weight = keras.layers.Layer.add_weight
        total = 0

        def add(layer, shape=None, *args, **kwargs):
            nonlocal total
            size = math.prod(shape if isinstance(shape, (tuple, list)) else (shape or 1,))
            if total + size > parameters:
                name = kwargs.get("name") or "weight"
                raise TooLargeError(
                    f"limits.parameters: expected at most {parameters:,} weights, received "
                    f"{total:,} and then {size:,} of {layer.path}/{name}"
                )
            total += size
            return add_weight(layer, shape, *args, **kwargs)

        keras.layers.Layer.add_weight = add
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = add_weight
