"""Grows the state of an optimizer with the weights that it belongs to."""

import numpy as np
from keras.ops import convert_to_numpy

from mdnn.growth.origins import new_share


def grow_optimizer(origins, old, new, old_weights, new_weights, averages):
    """Sets the state of a larger network's optimizer from that of the smaller one.

    The number of steps and the loss scale are kept. Adam's moments, and the momenta of Lion, Muon
    and SGD, follow `Origin.first_moment` and `Origin.second_moment`. Averages of the weights (EMA)
    grow as the weights do.

    Args:
        origins: dict from the paths of the new weights to `mdnn.growth.origins.Origin`s.
        old, new: built Keras optimizers of one kind.
        old_weights, new_weights: lists of trainable variables that they were built on.
        averages: dict from the paths of the new weights to arrays, the grown averages; `None`
            without averages.
    """
    for before, after in _scalars(old, new):
        after.assign(convert_to_numpy(before))
    old, new = _inner(old), _inner(new)
    numbers = {weight.path: number for number, weight in enumerate(old_weights)}
    firsts = [_list(optimizer, "_momentums", "momentums") for optimizer in (old, new)]
    seconds = [_list(optimizer, "_velocities", "adam_velocities") for optimizer in (old, new)]
    share = _new_share(new)
    for number, weight in enumerate(new_weights):
        origin, shape = origins[weight.path], tuple(weight.shape)
        before = None if origin.source is None else numbers[origin.source.path]
        first, second = (_array(_at(lists[0], before)) for lists in (firsts, seconds))
        if (variable := _at(firsts[1], number)) is not None:
            variable.assign(origin.first_moment(first, shape))
        if (variable := _at(seconds[1], number)) is None:
            continue
        if second is None and first is not None:
            # Muon has no second moments; Adam, which takes over this matrix, gets them from Muon's
            # momentum: it sums gradients, of independent noise 1 / (1 - momentum ** 2) of the
            # variance.
            second = np.square(first) * (1 - float(getattr(old, "momentum", 0.0)) ** 2)
        variable.assign(origin.second_moment(second, shape, share))
    _fill_new(origins, seconds[1], new_weights, share)
    if averages is not None:
        kept = new._model_variables_moving_average
        for variable, weight in zip(kept, new_weights, strict=True):
            variable.assign(averages[weight.path])


def restart_moments(optimizer, numbers):
    """Resets the state of some weights: first moments of 0, second ones as in a grown network.

    Args:
        optimizer: a built Keras optimizer.
        numbers: ints, the numbers of the weights among those that it was built on.
    """
    optimizer = _inner(optimizer)
    firsts = _list(optimizer, "_momentums", "momentums")
    seconds = _list(optimizer, "_velocities", "adam_velocities")
    share = _new_share(optimizer)
    for number in numbers:
        if (variable := _at(firsts, number)) is not None:
            variable.assign(np.zeros(tuple(variable.shape), "float32"))
        if (variable := _at(seconds, number)) is not None:
            mean = share * float(np.mean(convert_to_numpy(variable), dtype="float64"))
            variable.assign(np.full(tuple(variable.shape), mean, "float32"))


def weight_averages(optimizer, weights):
    """Returns the moving averages of weights, a dict from paths to arrays; `None` without any."""
    optimizer = _inner(optimizer)
    if not optimizer.use_ema:
        return None
    kept = optimizer._model_variables_moving_average
    return {w.path: np.array(convert_to_numpy(v)) for w, v in zip(weights, kept, strict=True)}


def _fill_new(origins, seconds, weights, share):
    """Sets the squared gradients of weights without an old one to a share of the others' mean."""
    if seconds is None or not share:
        return
    known = [
        float(np.mean(convert_to_numpy(seconds[number])))
        for number, weight in enumerate(weights)
        if origins[weight.path].source is not None and seconds[number] is not None
    ]
    if not known or not max(known):
        return
    mean = float(np.median([value for value in known if value]))
    for number, weight in enumerate(weights):
        if origins[weight.path].source is None and seconds[number] is not None:
            seconds[number].assign(np.full(tuple(weight.shape), share * mean, "float32"))


def _new_share(optimizer):
    """Returns `new_share` of an optimizer; 0 for one without second moments."""
    return new_share(float(getattr(optimizer, "adam_beta_2", getattr(optimizer, "beta_2", 0.0))))


def _inner(optimizer):
    """Returns the wrapped optimizer of a `LossScaleOptimizer`; any other one as it is."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _scalars(old, new):
    """Returns pairs of the optimizers' variables of single numbers: steps, rate, loss scale."""
    known = {variable.path: variable for variable in old.variables if not tuple(variable.shape)}
    return [
        (known[variable.path], variable)
        for variable in new.variables
        if not tuple(variable.shape) and variable.path in known
    ]


def _list(optimizer, *names):
    return next((getattr(optimizer, name) for name in names if hasattr(optimizer, name)), None)


def _at(variables, number):
    """Returns the variable of a weight; `None` without one."""
    return None if variables is None or number is None else variables[number]


def _array(variable):
    return None if variable is None else np.array(convert_to_numpy(variable))
