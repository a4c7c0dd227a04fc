"""Provides `inspect`: what a network, a SavedModel or an identity is made of."""

import keras

from mdnn.config.load import Config, load_config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.identity.identity_file import SUFFIX, identity_facts
from mdnn.keras_settings import KERAS_FILE
from mdnn.runs.inspection import network_facts
from mdnn.runs.origin import read_origin
from mdnn.runs.run_files import is_exported
from mdnn.runs.run_folder import Run, open_run
from mdnn.safety.saved_model_ops import inspect_saved_model
from mdnn.tasks.facts.engine_facts import engine_facts, layer_facts


def inspect(what, overrides=(), member=None):
    """Returns facts about a network, a SavedModel or an identity, as `mdnn inspect` prints them.

    Args:
        what: a run folder, a `.keras` file, a `Network` or a `Run`; a config, its path, or a
            shipped config's name; the folder of a SavedModel, which is not loaded;
            or an identity's file.
        overrides: list of `KEY=VALUE`, changes of a config that is given by its path or name.
        member: int, of networks in tandem the one to inspect; `None`: all.

    Returns:
        dict. Of a network: `grid`, `positions`, `width`, `parameters`, `steps`,
        `operations_per_position`, `bytes_per_position`, `receptive_field` and `layers`, see
        `mdnn.runs.inspection.network_facts`; of a run, a `.keras` file or a `Network` also `origin`
        (what its weights were started, grown or cut from, or `None`), `texts` and `native_layers`
        (what runs them here, see `mdnn.tasks.facts.engine_facts`). Of an identity: `kind`,
        `numbers`, `slots`, `network` (the fingerprint of the network that it belongs to), `arrays`
        (their shapes) and what is known of its training. Of a SavedModel: see
        `mdnn.safety.saved_model_ops.inspect_saved_model`.

    Raises:
        MdnnError: none of these, or one that is damaged; changes of something other than a config's
            file; no such member.

    Example:

    >>> mdnn.inspect("runs/mine")["receptive_field"]
    >>> mdnn.inspect("pepys.safetensors")["numbers"]
    """
    if not isinstance(overrides, (list, tuple)) or not all(isinstance(c, str) for c in overrides):
        raise MdnnError(f"overrides: expected a list of KEY=VALUE, received {overrides!r:.80}")
    if isinstance(what, Config):
        _refuse(overrides, member)
        return network_facts(what)
    if not isinstance(what, (Run, keras.Model)):
        path = as_path(what, "inspect")
        if path.suffix == SUFFIX:
            _refuse(overrides, member)
            return identity_facts(path)
        if is_exported(path):
            _refuse(overrides, member)
            return inspect_saved_model(path)
        if not path.is_dir() and path.suffix != KERAS_FILE:
            _refuse((), member)
            return network_facts(load_config(what, overrides))
    _refuse(overrides, None)
    run = open_run(what).member(member)
    facts = network_facts(run.config, run.words, run.model)
    origin = None if run.path is None else read_origin(run.path)
    facts |= {"origin": origin, "texts": engine_facts(run), "native_layers": layer_facts(run)}
    return facts


def _refuse(overrides, member):
    if overrides:
        raise MdnnError("overrides: expected the path of a config, which they change")
    if member is not None:
        raise MdnnError("member: expected a run of networks in tandem")
