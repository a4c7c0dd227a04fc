"""Networks that share the layers of another one and leave nothing in them."""

import contextlib
import threading

from keras.src.ops.node import Node

from mdnn.tensorflow_graphs import forgetting_gradients

_LOCK = threading.Lock()


@contextlib.contextmanager
def without_nodes(shared):
    """Removes the symbolic calls that the layers of a network remember of the block.

    Keras appends each symbolic call of a layer to lists of the layer for ever, though a functional
    model runs by lists of its own. Only the last entries can go, because Keras counts them: one
    thread at a time is in such a block.

    Args:
        shared: `mdnn.models.network.Network`; `None` to remove nothing.
    """
    if shared is None:
        yield
        return
    with _LOCK, forgetting_gradients():
        lists = [
            (nodes, len(nodes))
            for layer in shared._flatten_layers()
            for nodes in (layer._inbound_nodes, layer._outbound_nodes)
        ]
        try:
            yield
        finally:
            for nodes, count in lists:
                del nodes[count:]


def add_own_node(network):
    """Makes a functional model the layer that its output came from.

    Other functional models can then be built on its output, though its layers remember no call.

    Args:
        network: a functional `keras.Model` that was made in a block of `without_nodes`.
    """
    Node(network, call_args=(network.input,), call_kwargs={}, outputs=network.output)
