"""Lets a function of a loaded SavedModel keep the variables that it reads.

TensorFlow's functions hold their variables weakly. So
`tf.saved_model.load(path).signatures["generate"]`, in one expression, loses them as soon as the
loaded object is gone, and the function fails where it is traced again: inside `tf.data` and
`tf.function`. When a SavedModel is loaded, every node of its object graph gets its children as
attributes. A function that has the variables as a child therefore keeps them.
"""

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

FILE = "saved_model.pb"


def keep_variables(folder, name="held"):
    """Makes the module's attribute `name` an attribute of every function of a SavedModel, too.

    Args:
        folder: path of a SavedModel that nobody loads yet; its `saved_model.pb` is rewritten.
        name: the attribute of the saved module that holds all variables and tables.
    """
    file = Path(folder) / FILE
    message = saved_model_pb2.SavedModel()
    message.ParseFromString(file.read_bytes())
    for graph in message.meta_graphs:
        nodes = graph.object_graph_def.nodes
        number = next(child.node_id for child in nodes[0].children if child.local_name == name)
        for node in nodes:
            if node.WhichOneof("kind") in ("function", "bare_concrete_function"):
                node.children.add(node_id=number, local_name=name)
    file.write_bytes(message.SerializeToString(deterministic=True))
    # It holds a checksum of the unchanged file; SavedModels of older versions have no such file.
    (Path(folder) / "fingerprint.pb").unlink(missing_ok=True)
