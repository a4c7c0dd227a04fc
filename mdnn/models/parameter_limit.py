"""Limits the number of weights of a network before they are allocated."""

import contextlib
import math

from mdnn.errors import MdnnError
from mdnn.layers.weight_rules import applied


class TooLargeError(MdnnError):
    """Raised for a network with more weights than its limit."""


@contextlib.contextmanager
def at_most(parameters):
    """Context manager in which `add_weight` raises before weights exceed `parameters`.

    Counts only mdnn's layers built by the current thread.

    Args:
        parameters: int, largest total number of weights of the layers built inside.

    Raises:
        TooLargeError: the limit would be exceeded; raised before the weight is allocated.
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
