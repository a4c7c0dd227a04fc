"""Moving averages of weights: trained beside them, used in their place."""

import contextlib

import numpy as np
from keras.ops import convert_to_numpy


@contextlib.contextmanager
def swapped_in(optimizer, variables):
    """While it lasts, variables have their moving averages, where an optimizer keeps some.

    Args:
        optimizer: a Keras optimizer that has made a step; with `use_ema` it keeps averages.
        variables: the trainable variables that it was built on.
    """
    if not _of(optimizer).use_ema:
        yield
        return
    own = [np.array(convert_to_numpy(variable)) for variable in variables]
    take_averages(optimizer, variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)


def take_averages(optimizer, variables):
    """Gives variables their moving averages for good, where an optimizer keeps some."""
    # Before the first step averages are zeros.
    optimizer = _of(optimizer)
    if optimizer.use_ema and int(optimizer.iterations):
        optimizer.finalize_variable_values(variables)
        # Copies: on JAX the optimizer would share its arrays, which `predict` gives away.
        for variable in variables:
            variable.assign(np.array(convert_to_numpy(variable)))


def _of(optimizer):
    """The optimizer that makes the steps, inside one that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)
