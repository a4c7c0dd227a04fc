"""Collects losses of layers that are added to a network's own loss in training."""

import contextlib
import contextvars

_COLLECTED = contextvars.ContextVar("mdnn_auxiliary_losses", default=None)


@contextlib.contextmanager
def collected():
    """Context manager that yields the list of the losses that layers add inside it."""
    losses = []
    token = _COLLECTED.set(losses)
    try:
        yield losses
    finally:
        _COLLECTED.reset(token)


def add_auxiliary_loss(layer, loss):
    """Adds a scalar loss of a layer in training.

    Inside `collected`, where a loss model takes it, it is put on that list; elsewhere, as in `fit`,
    it is Keras' `layer.add_loss`.
    """
    losses = _COLLECTED.get()
    if losses is None:
        layer.add_loss(loss)
    else:
        losses.append(loss)
