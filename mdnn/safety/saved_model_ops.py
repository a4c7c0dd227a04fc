"""Lists the ops of a SavedModel without loading it.

A SavedModel is a program, and loading it runs parts of it: inspect one from an untrusted source
first. Only `mdnn serve` loads SavedModels, and only those without noteworthy ops.
"""

import collections
import fnmatch
import re
from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.files import read_bytes

FILE = "saved_model.pb"
MAX_BYTES = 1 << 30
"""Largest size of a `saved_model.pb` that is read, in bytes."""

OWN_WEIGHTS = "its own weights"

# The first entry lists ops of every SavedModel, which load and save its own weights.
NOTES = {
    OWN_WEIGHTS: ("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"),
    "runs code": ("*PyFunc*", "XlaCallModule", "*CustomCall*", "*CompileMlir*", "*CompileAndExec*"),
    "reads files": (
        "ReadFile",
        "*MatchingFiles*",
        "*Reader*",
        "*TextLine*",
        "*TFRecordDataset*",
        "*FixedLengthRecord*",
        "*LMDB*",
        "*SqlDataset*",
        "*CSVDataset*",
        "InitializeTableFromTextFile*",
        "LoadAndRemapMatrix",
        "LoadDataset",
        "Restore*",
        "*Snapshot*",
    ),
    "writes files": (
        "WriteFile",
        "Save*",
        "DistributedSave",
        "Write*Summary",
        "Create*SummaryWriter",
        "CreateSummaryDbWriter",
        "CreateSummaryFileWriter",
        "SummaryWriter",
        "*DatasetToTFRecord",
        "CacheDataset*",
        "PrintV2",
        "DebugIdentity*",
        "DebugN*",
    ),
    "uses the network": (
        "DataService*",
        "*Rpc*",
        "RemoteCall",
        "Collective*",
        "FileSystemSetConfiguration",
        "_*Send",
        "_*Recv",
        "Send",
        "Recv",
    ),
}
UNKNOWN = "unknown: code that is not TensorFlow's own"


def is_saved_model(path):
    """Returns whether a folder is a SavedModel or holds numbered versions of one."""
    return bool(_files(Path(path)))


def inspect_saved_model(path):
    """Lists the ops of a SavedModel without loading it.

    Args:
        path: its folder, or a folder of numbered versions, of which the highest is read.

    Returns:
        dict with the keys:

        - `path`: string;
        - `bytes`: int, size of its file;
        - `signatures`: dict from names to dicts `inputs` and `outputs`, from names to
          `dtype [shape]`;
        - `ops`: dict from names to counts, in the graph and its functions;
        - `notes`: dict from possible effects to the names of the ops that have them; all except
          `"its own weights"` deserve a review.

    Raises:
        MdnnError: the folder is not a SavedModel, or cannot be read.
    """
    files = _files(Path(path))
    if not files:
        raise MdnnError(f"{path} is not a SavedModel: it has no {FILE}")
    file = files[-1]
    # Imported late: TensorFlow takes seconds to import.
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    message = saved_model_pb2.SavedModel()
    data = read_bytes(file, MAX_BYTES)
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MdnnError(f"{file} cannot be read: {error}") from None
    if not message.meta_graphs:
        raise MdnnError(f"{file} cannot be read: it holds no graph")
    ops, signatures, own = collections.Counter(), {}, set()
    for graph in message.meta_graphs:
        ops.update(node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            own.add(function.signature.name)
            ops.update(node.op for node in function.node_def)
        for name, signature in graph.signature_def.items():
            sides = {"inputs": signature.inputs, "outputs": signature.outputs}
            signatures[_line(name)] = {
                side: {_line(key): _tensor(info, types_pb2) for key, info in sorted(found.items())}
                for side, found in sides.items()
            }
    notes = collections.defaultdict(list)
    for op in sorted(ops.keys() - own):
        note = _note(op, op_def_registry.get(op) is not None)
        if note is not None:
            notes[note].append(_line(op))
    return {
        "path": str(file.parent),
        "bytes": len(data),
        "signatures": {name: signatures[name] for name in sorted(signatures)},
        "ops": {_line(op): ops[op] for op in sorted(ops)},
        "notes": {note: notes[note] for note in (*NOTES, UNKNOWN) if note in notes},
    }


def saved_model_lines(facts):
    """Formats the result of `inspect_saved_model` as lines of text."""
    lines = [f"{facts['path']}: a SavedModel, {facts['bytes']:,} bytes; it was not loaded", ""]
    for name, sides in facts["signatures"].items():
        ends = (", ".join(f"{k} {v}" for k, v in sides[side].items()) for side in sides)
        lines.append(f"{name}: {' -> '.join(ends)}")
    lines += ["", ", ".join(f"{op} {count}" for op, count in facts["ops"].items()), ""]
    lines += [f"{note}: {', '.join(ops)}" for note, ops in facts["notes"].items()]
    if not facts["notes"].keys() - {OWN_WEIGHTS}:
        lines.append("no op that runs other code, uses the network, or other files than its own")
    return lines


def _files(path):
    """Returns the files of the SavedModels in a folder, the highest version last."""
    if (path / FILE).is_file():
        return [path / FILE]
    if not path.is_dir():
        return []
    versions = [p for p in path.iterdir() if re.fullmatch("[0-9]{1,18}", p.name)]
    found = sorted(versions, key=lambda p: int(p.name))
    return [p / FILE for p in found if (p / FILE).is_file()]


def _note(op, known):
    for note, patterns in NOTES.items():
        if any(fnmatch.fnmatchcase(op, pattern) for pattern in patterns):
            return note
    return None if known else UNKNOWN


def _tensor(info, types):
    try:
        dtype = types.DataType.Name(info.dtype).removeprefix("DT_").lower()
    except ValueError:
        dtype = str(info.dtype)
    if info.tensor_shape.unknown_rank:
        return f"{dtype} of any shape"
    sizes = ["?" if d.size < 0 else str(d.size) for d in info.tensor_shape.dim]
    return f"{dtype} [{', '.join(sizes)}]"


def _line(name):
    """Returns a name from the file on one line, without control characters."""
    name = name if len(name) <= 100 else f"{name[:97]}..."
    return name if name.isprintable() else ascii(name)
