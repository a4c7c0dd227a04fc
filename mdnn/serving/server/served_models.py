"""Opens run folders and SavedModels for the server."""

import contextlib
import functools
import os
import re
from pathlib import Path

import keras
import tensorflow as tf

from mdnn.chat.format_files import chat_format_of, is_for_chat
from mdnn.errors import MdnnError
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.generation.text_identities import TextIdentities
from mdnn.generation.text_stream import TextStream
from mdnn.growth.narrowing import at_density
from mdnn.kernels.native_library import native_library
from mdnn.runs.cached_runs import cached_run
from mdnn.runs.chunk_report import chunk_blocks, cuts_of, pieces
from mdnn.runs.run_files import is_exported
from mdnn.runs.run_folder import open_run
from mdnn.safety.saved_model_ops import OWN_WEIGHTS, inspect_saved_model
from mdnn.serving.export.saved_model import exported_by_task
from mdnn.serving.requests.request_limits import BAD, UNAVAILABLE, RefusalError
from mdnn.serving.server.density_streams import DensityCompletions, DensityStreams
from mdnn.serving.server.served_model import GENERATE, WITH_IDENTITY, ServedModel
from mdnn.serving.server.signatures import Signature, Spec
from mdnn.serving.server.text_streams import SavedTexts
from mdnn.tasks.density_rule import AUTO
from mdnn.tasks.density_rule import FILE as RULE
from mdnn.tasks.registry import task_for

WRITERS = "served_writers"
"""Key of `Run.cache` for the results of `_writers`, by their arguments."""

MAX_WRITERS = 4
"""Largest number of them that a run keeps; the oldest is dropped."""


def open_served_model(path, engine="auto", member=None, density=None, identities=None):
    """Returns the `ServedModel` of a run folder or of a SavedModel.

    Args:
        path: a run folder, a `.keras` file, an opened run or a network; or a SavedModel, or a
            folder of numbered ones, of which the newest is taken. A SavedModel is a program: before
            it is loaded its ops are looked at.
        engine: what continues texts, see `mdnn.generation.engines.text_engine`; a SavedModel
            brings its own.
        member: int, of a run of networks in tandem the member to serve; `None` for all.
        density, identities: of a run folder, see `open_served_run`.

    Raises:
        MdnnError: neither; a run folder on a backend other than TensorFlow; a SavedModel with ops
            that run other code, use the network or other files than its own.
    """
    named = isinstance(path, (str, os.PathLike))
    if not (named and is_exported(path)):
        run = cached_run(path).member(member)
        return open_served_run(run, engine, density, identities)
    if member is not None:
        raise MdnnError("member: a SavedModel has no members: mdnn export RUN DIR --member N")
    if engine.startswith("native"):
        raise MdnnError("engine: 'native' continues the texts of run folders, not of SavedModels")
    if identities:
        raise MdnnError("identity: a SavedModel has one; mdnn export --identity makes it")
    if density is not None:
        raise MdnnError("density: a SavedModel has one density; mdnn export --density makes it")
    return _open_saved(path)


def open_served_run(run, engine="auto", density=None, identities=None):
    """Returns the `ServedModel` of a run folder.

    Args:
        run: what `mdnn.runs.run_folder.open_run` takes.
        engine: see `mdnn.generation.engines.text_engine`.
        density: float, a trained density; `"auto"`: each text has the density that its prompt
            needs; `None`: the whole network.
        identities: dict from names to files that `mdnn adapt` made: each text may name one.
    """
    if identities and density not in (None, 1):
        raise MdnnError(f"identity: belongs to the whole network; received density {density!r}")
    whole = open_run(run)
    run = at_density(whole, None if density == AUTO else density)
    if keras.backend.backend() != "tensorflow":
        raise MdnnError(
            f"serve needs the TensorFlow backend, Keras runs on {keras.backend.backend()}"
        )
    made = _kept_writers(whole, run, engine, density, identities)
    about = _about(run) | {"density": None if density == 1 else density}
    more = {"about": about, "identities": identities or (), "chat_format": chat_format_of(run)}
    if not run.config.tandem.members and chunk_blocks(run.model):
        more["chunks"] = functools.partial(_chunks, run)
    return ServedModel("1", **made, **more)


def _kept_writers(whole, run, engine, density, identities):
    """Returns the result of `_writers`, made once: a server that follows another compiles nothing.

    XLA keeps what it compiles, some 70 MB for each writer of a small network.
    """
    if identities and run.path is None:
        # The network may have been trained since: reading its identities checks that.
        return _writers(whole, run, engine, density, identities)
    read = dict(identities or {})
    if density == AUTO and run.path is not None:
        read[RULE] = run.path / RULE
    files = tuple(_file_key(name, file) for name, file in read.items())
    key = engine, density, native_library() is None, files
    kept = whole.cache.setdefault(WRITERS, {})
    if key not in kept:
        kept[key] = _writers(whole, run, engine, density, identities)
        for old in list(kept)[:-MAX_WRITERS]:
            del kept[old]
    return kept[key]


def _file_key(name, file):
    """Returns what changes when a file is replaced."""
    try:
        about = os.stat(file)
    except OSError:
        # Reading it says what is wrong.
        return name, str(file)
    return name, os.path.abspath(file), about.st_mtime_ns, about.st_size, about.st_ino


def _writers(whole, run, engine, density, identities):
    """Returns the arguments of `ServedModel` that run the network, a dict.

    Args:
        whole: the `Run`.
        run: the `Run` at the density.
        engine, density, identities: see `open_served_run`.
    """
    exported = exported_by_task(run)
    signatures, write = exported.signatures(), exported.text_stream(engine)
    completions = exported.text_completions(engine)
    if write is not None:
        # Whole texts are put together from the stream's pieces: never traced or compiled.
        signatures.pop(exported.streamed, None)
    several = []
    if density == AUTO:
        streams, completions = DensityStreams(whole, engine), DensityCompletions(whole, engine)
        write = streams.write
        several = [write, *(one.write for one in streams.streams.values())]
    if identities:
        if write is None:
            raise MdnnError("identity: this network writes no texts; merge it: mdnn adapt --merge")
        among = TextIdentities(run, identities)
        write = TextStream(run, engine, among).write
        completions = TextCompletions(run, engine=engine, identities=among)
    functions = _functions(signatures)
    if write is not None:
        functions[GENERATE.name] = (WITH_IDENTITY if identities else GENERATE, None)
    return {
        "functions": functions,
        "write": write,
        "completions": completions,
        "streams": several,
        "resources": exported,
    }


def _chunks(run, text):
    starts, wanted = cuts_of(run, text)
    return pieces(text, starts), [1.0, *map(float, wanted[starts[1:]])]


def _about(run):
    """Returns the page's description of a run, without examples if its data cannot be read."""
    source = run.config.data.source
    about = {"parameters": run.model.count_params(), "source": Path(source).name or source}
    about["chat"] = is_for_chat(run)
    with contextlib.suppress(MdnnError, OSError):
        about["examples"] = task_for(run.config, run.words).example_prompts()
    return about


def _open_saved(path):
    facts = inspect_saved_model(path)
    path = Path(facts["path"])
    for note, ops in facts["notes"].items():
        if note != OWN_WEIGHTS:
            raise MdnnError(
                f"{path} is a program that is not served: {note}: {', '.join(ops)[:200]}"
            )
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise MdnnError(f"{path} is not a SavedModel that can be read: {_line(error)}") from None
    functions = _functions(loaded.signatures)
    if not functions:
        raise MdnnError(f"{path} has no signatures to serve")
    write = None
    if GENERATE.name in functions and functions[GENERATE.name][0] == GENERATE:
        write = SavedTexts(functions[GENERATE.name][1]).write
    version = path.name if path.name.isdecimal() else "1"
    return ServedModel(version, functions, write, resources=loaded)


def _functions(signatures):
    """Returns TensorFlow's functions with their signatures, as `ServedModel` takes them."""
    found = {}
    for name, function in signatures.items():
        if hasattr(function, "get_concrete_function"):
            function = function.get_concrete_function()
        # A function of mdnn's has its arguments by position, one that was loaded by name.
        positional, names = function.structured_input_signature
        specs = {spec.name: spec for spec in positional} | names
        signature = Signature(name, _specs(specs), _specs(function.structured_outputs))
        found[name] = signature, _called(function, positional, names)
    return found


def _specs(tensors):
    found = {}
    for name, spec in sorted(tensors.items()):
        shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
        found[name] = Spec(spec.dtype.name, shape)
    return found


def _called(function, positional, names):
    """Returns a TensorFlow function as one of arrays, whose errors are `RefusalError`s.

    Args:
        function: TensorFlow's.
        positional, names: the specs of its arguments by position, and by name.
    """

    def call(inputs):
        given = [tf.constant(inputs[spec.name], spec.dtype) for spec in positional]
        named = {name: tf.constant(inputs[name], spec.dtype) for name, spec in names.items()}
        try:
            outputs = function(*given, **named)
        except tf.errors.ResourceExhaustedError:
            raise RefusalError(UNAVAILABLE, "not enough memory for this request") from None
        except (tf.errors.OpError, ValueError) as error:
            raise RefusalError(BAD, _line(error)) from None
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return call


def _line(error):
    """Returns the message of a TensorFlow error in one line."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    # As `tf.debugging` and `mdnn.serving.export.graph_files.require` word it.
    found = re.search(r"assertion failed: \[+[\"']?(.*?)[\"']?\]", text, re.DOTALL)
    text = found[1] if found else text.strip().partition("\n")[0]
    return " ".join(text.split())[:300]
