"""Exponential moving averages (EMA) of the weights."""

import contextlib

import numpy as np
from keras.ops import convert_to_numpy


@contextlib.contextmanager
def swapped_in(optimizer, variables):
    """Replaces variables by their moving averages inside the context.

    Has no effect if the optimizer keeps no averages.

    Args:
        optimizer: a Keras optimizer that has taken at least one step; with `use_ema` it keeps
            averages.
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
    """Assigns the moving averages to the variables permanently.

    Has no effect if the optimizer keeps no averages.
    """
    # The averages are zero until the first step.
    optimizer = _of(optimizer)
    if optimizer.use_ema and int(optimizer.iterations):
        optimizer.finalize_variable_values(variables)
        # Copy: on JAX the variables would share the optimizer's arrays, which `predict` donates.
        for variable in variables:
            variable.assign(np.array(convert_to_numpy(variable)))


def _of(optimizer):
    """Returns the wrapped optimizer of a `LossScaleOptimizer`; any other optimizer as it is."""
    return getattr(optimizer, "inner_optimizer", optimizer)
