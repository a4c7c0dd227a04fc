"""A limit on a network's weights that acts before they take memory."""

import contextlib
import math

from mdnn.errors import MdnnError
from mdnn.layers.weight_rules import applied


class TooLargeError(MdnnError):
    """A network of more weights than it may have."""


@contextlib.contextmanager
def at_most(parameters):
    """Inside this context, `add_weight` raises before there are more than `parameters` weights.

    It counts what this thread builds of mdnn's layers, and nothing else.

    Args:
        parameters: int, how many weights all layers that are built inside may have together.

    Raises:
        TooLargeError: before the weight takes memory.
    """
    total = 0

    def count(path, shape, initializer):
        nonlocal total
        size = math.prod(shape if isinstance(shape, (tuple, list)) else (shape,))
        if total + size > parameters:
            raise TooLargeError(
                f"limits.parameters: expected at most {parameters:,} weights, received "
                f"{total:,} and then {size:,} of {path}"
            )
        total += size
        return initializer

    with applied(count):
        yield
