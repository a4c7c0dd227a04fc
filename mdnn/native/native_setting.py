"""Whether layers may use native code: the environment variable, and where graphs may hold it."""

import contextlib
import os
import threading

from mdnn.errors import MdnnError

VARIABLE = "MDNN_NATIVE_LAYERS"
WORDS = ("auto", "on", "off")

_LOCAL = threading.local()


def native_word():
    """Returns the word in the environment variable MDNN_NATIVE_LAYERS.

    `"auto"` (the default): calls outside of graphs and mdnn's own training steps use native code
    where it is built. `"on"`: so does every graph but those that XLA compiles.
    `"off"`: nothing does.

    Raises:
        MdnnError: the variable holds another word.
    """
    word = os.environ.get(VARIABLE, "") or "auto"
    if word not in WORDS:
        raise MdnnError(f"{VARIABLE}: expected one of {', '.join(WORDS)}, received {word!r}")
    return word


@contextlib.contextmanager
def native_graphs(allowed=True):
    """Context manager in which the current thread traces graphs that may hold native operations.

    A graph that leaves this process, such as a SavedModel's, must not hold any: it could not be
    loaded without mdnn. Therefore graphs are traced without them outside of this context.

    Args:
        allowed: bool; `False` for graphs without native operations inside the context.

    Example:

    >>> with mdnn.native.native_graphs():
    ...     y = tf.function(layer)(x)
    """
    before = getattr(_LOCAL, "allowed", None)
    _LOCAL.allowed = allowed
    try:
        yield
    finally:
        _LOCAL.allowed = before


def graphs_allowed():
    """Returns whether a graph that the current thread traces may hold native operations."""
    word, allowed = native_word(), getattr(_LOCAL, "allowed", None)
    return word != "off" and (word == "on" if allowed is None else allowed)
