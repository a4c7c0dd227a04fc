"""Exponential moving averages (EMA) of the weights."""

import contextlib

import numpy as np
from keras.ops import convert_to_numpy


@contextlib.contextmanager
def swapped_in(optimizer, variables):
    """Exchanges variables and their moving averages inside the context.

    The optimizer holds the variables' own values meanwhile, so that nothing is held twice. Has no
    effect if the optimizer keeps no averages, or before its first step.

    Args:
        optimizer: a Keras optimizer; with `use_ema` it keeps averages.
        variables: the trainable variables that it was built on.
    """
    optimizer = _of(optimizer)
    if not optimizer.use_ema or not int(optimizer.iterations):
        yield
        return
    averages = optimizer._model_variables_moving_average
    pairs = [pair for pair in zip(variables, averages, strict=True) if pair[1] is not None]
    # Number of exchanged pairs, and the values of the one that is being exchanged, if any: a second
    # signal takes effect at once, and what is trained must not stay half exchanged.
    state = 0, None
    try:
        for number, pair in enumerate(pairs):
            values = [_copied(variable) for variable in pair]
            state = number, values
            _assign(pair, reversed(values))
            state = number + 1, None
        yield
    finally:
        number, values = state
        if values is not None:
            _assign(pairs[number], values)
        for pair in pairs[:number]:
            _assign(pair, [_copied(variable) for variable in reversed(pair)])


def _assign(pair, values):
    for variable, value in zip(pair, values, strict=True):
        variable.assign(value)


def _copied(variable):
    # A copy: on JAX an assigned array would be shared, and `predict` donates those of variables.
    return np.array(convert_to_numpy(variable))


def take_averages(optimizer, variables):
    """Assigns the moving averages to the variables permanently.

    Has no effect if the optimizer keeps no averages.
    """
    # The averages are zero until the first step.
    optimizer = _of(optimizer)
    if optimizer.use_ema and int(optimizer.iterations):
        optimizer.finalize_variable_values(variables)
        for variable in variables:
            variable.assign(_copied(variable))


def _of(optimizer):
    """Returns the wrapped optimizer of a `LossScaleOptimizer`; any other optimizer as it is."""
    return getattr(optimizer, "inner_optimizer", optimizer)
