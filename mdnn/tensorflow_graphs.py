"""Releases memory that TensorFlow keeps for graphs that are no longer needed."""

import contextlib
import sys

PREFIX = "CustomGradient-"
"""Beginning of the names under which TensorFlow registers gradients of `tf.custom_gradient`."""


@contextlib.contextmanager
def forgetting_gradients():
    """Removes the gradients that TensorFlow registers in the block, also as a decorator.

    Each custom gradient that is traced in a graph is registered for ever and holds its graph: 10 to
    35 MB for each training or export of a small network. After the block nothing is differentiated
    that was traced in it. A graph that another thread of the caller traces meanwhile, and
    differentiates after the block only, would miss its custom gradients.

    On other backends, and where TensorFlow keeps no such table, the block runs alone.
    """
    before = set(_registered())
    try:
        yield
    finally:
        table = _registered()
        for name in [name for name in table if name.startswith(PREFIX) and name not in before]:
            table.pop(name, None)


def _registered():
    """Returns TensorFlow's table of gradients, a dict; an empty one without TensorFlow."""
    ops = sys.modules.get("tensorflow.python.framework.ops")
    table = getattr(getattr(ops, "gradient_registry", None), "_registry", None)
    return table if isinstance(table, dict) else {}
