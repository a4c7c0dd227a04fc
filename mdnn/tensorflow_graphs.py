"""Releases memory that TensorFlow keeps for graphs that are no longer needed."""

import contextlib
import re
import sys
import threading
import weakref

PREFIX = "CustomGradient-"
"""Beginning of the names under which TensorFlow registers gradients of `tf.custom_gradient`."""

_LOCK = threading.Lock()
_OPEN = {}
"""Number of blocks of `forgetting_gradients` that each thread is in."""

_LATER = set()
"""Names to remove once no thread is in a block."""


@contextlib.contextmanager
def forgetting_gradients():
    """Removes the gradients that TensorFlow registers in the block, also as a decorator.

    Each custom gradient that is traced in a graph is registered for ever and holds its graph: 10 to
    35 MB for each training or export of a small network. After the block nothing is differentiated
    that was traced in it. While another thread is in such a block, as in a training, nothing is
    removed: it may differentiate what it has traced. A graph that the caller's own code traces
    in another thread meanwhile, and differentiates after the block only, would miss its custom
    gradients.

    On other backends, and where TensorFlow keeps no such table, the block runs alone.
    """
    thread, before = threading.get_ident(), set(_registered())
    with _LOCK:
        _OPEN[thread] = _OPEN.get(thread, 0) + 1
    try:
        yield
    finally:
        with _LOCK:
            _OPEN[thread] -= 1
            if not _OPEN[thread]:
                del _OPEN[thread]
            new = {name for name in list(_registered()) if name.startswith(PREFIX)} - before
            _LATER.update(new)
            if not set(_OPEN) - {thread}:
                _remove(_LATER)
                _LATER.clear()


def forget_with(function):
    """Removes the gradients of a compiled function's graphs from TensorFlow's table when it dies.

    Until then they can be differentiated. Without this each compiled function would stay: about 3
    MB for a small network.

    Args:
        function: what `tf.function` returns, after each call that traced it.
    """
    names = set()
    for traced in getattr(function, "_list_all_concrete_functions", list)():
        # Those of loops and of functions that it calls are in the same library.
        graph = traced.graph.as_graph_def().SerializeToString()
        names.update(name.decode() for name in re.findall(b"%b[0-9]+" % PREFIX.encode(), graph))
    if names:
        weakref.finalize(function, _remove, names).atexit = False


def _remove(names):
    table = _registered()
    for name in names:
        table.pop(name, None)


def _registered():
    """Returns TensorFlow's table of gradients, a dict; an empty one without TensorFlow."""
    ops = sys.modules.get("tensorflow.python.framework.ops")
    table = getattr(getattr(ops, "gradient_registry", None), "_registry", None)
    return table if isinstance(table, dict) else {}
