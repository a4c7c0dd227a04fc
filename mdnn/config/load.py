"""Loads configs, which define a network and its training.

A config is a TOML file; nothing in it is executed or imported. `load_config` reads it into a
`Config`. The fields of `Config` and of its tables are the complete list of keys.
"""

import dataclasses
import re
import tomllib

from mdnn.config.axis_names import numbered, with_axis_names
from mdnn.config.data_tables import Context, Data, Tokens
from mdnn.config.density import check_densities
from mdnn.config.growing import stage_configs
from mdnn.config.mesh_table import Mesh
from mdnn.config.network_tables import Backbone
from mdnn.config.overrides import set_key
from mdnn.config.schema import dump, option, parse, with_new_names
from mdnn.config.shipped import find_config
from mdnn.config.tandem_tables import Distill, Tandem
from mdnn.config.task_tables import refuse_other_tasks, schema_for
from mdnn.config.training_tables import Loss, RefeedTable, Train
from mdnn.config.validate import check
from mdnn.errors import MdnnError
from mdnn.files import read_small_text
from mdnn.tokens.modalities import load_modalities

MAX_BYTES, MAX_DOTS = 1 << 20, 100
"""Largest size of a config file in bytes, and largest number of dots in a line. The time and memory
that tomllib needs grow with the square of the parts of a dotted key: 40 GB for 200 kB."""

RUN = "run.json"
"""File of a run folder, see `mdnn.runs.run_files`."""

_ONE_TEXT = re.compile(r'[ \t]*[\w.-]{1,200}[ \t]*=[ \t]*"(?:[^"\\]|\\.)*"[ \t]*')


@dataclasses.dataclass(frozen=True)
class Limits:
    """Size limits of a network, so that a typo or an untrusted config cannot exhaust the machine.

    The network of a run folder is also limited by the size of its weights file.
    """

    # Number of weights; 10^9 weights take 4 GB, and 16 GB during training.
    parameters: int = option(10**9, least=1)
    # Number of positions of a context.
    positions: int = option(10**8, least=1)
    # Number of residual blocks run in sequence in one forward pass with all its refeed steps.
    layers: int = option(10_000, least=1)


@dataclasses.dataclass(frozen=True)
class Config:
    """The complete config of a network and its training.

    The config of a registered task may have further tables (`TaskRules.tables`).
    """

    seed: int = option(1, least=0, most=2**31 - 1)
    data: Data = option(factory=Data)
    tokens: Tokens = option(factory=Tokens)
    context: Context = option(factory=Context)
    backbone: Backbone = option(factory=Backbone)
    refeed: RefeedTable = option(factory=RefeedTable)
    loss: Loss = option(factory=Loss)
    train: Train = option(factory=Train)
    tandem: Tandem = option(factory=Tandem)
    distill: Distill = option(factory=Distill)
    mesh: Mesh = option(factory=Mesh)
    limits: Limits = option(factory=Limits)

    @classmethod
    def from_dict(cls, table):
        """Returns a checked config from nested dicts, as parsed from TOML.

        Raises:
            MdnnError: an unknown key or a value that is not allowed.
        """
        _load_named_modalities(table)
        schema = schema_for(cls, table)
        refuse_other_tasks(schema, table)
        config = numbered(parse(schema, table))
        check(config)
        check_densities(config)
        stage_configs(config)
        return config

    def remade(self, table):
        """Returns another config from nested dicts; see `from_dict`."""
        return Config.from_dict(table)

    def to_toml(self):
        """Returns the config as TOML text."""
        return dump(with_axis_names(self))


def _load_named_modalities(table):
    """Imports the packages of the modalities that a table names, which bring config keys."""
    tokens = table.get("tokens", {}) if isinstance(table, dict) else {}
    names = tokens.get("modalities", ()) if isinstance(tokens, dict) else ()
    if isinstance(names, (list, tuple)):
        load_modalities([name for name in names if isinstance(name, str)])


def load_config(path, overrides=()):
    """Reads a config.

    Args:
        path: a TOML file, or the name of a config shipped with mdnn, such as `text`.
        overrides: strings `KEY=VALUE`, each replacing one key: `train.minutes=3`,
            `data.source=python-docs`, `backbone.layer.0.gate=gelu`. For a key of type string,
            VALUE is taken literally (`data.source=1984`) or is a quoted TOML string; for other
            keys it is a TOML value.

    Returns:
        `Config`.

    Raises:
        MdnnError: the file does not exist or is not TOML, a key is unknown, or a value is not
            allowed.
    """
    path, table = _read(path)
    try:
        for text in overrides:
            set_key(Config, table, text)
        return Config.from_dict(table)
    except MdnnError as error:
        raise MdnnError(f"{path}: {error}") from None


def check_keys(path, overrides=()):
    """Refuses a config whose keys or values are wrong, without importing Keras.

    Mixers are left out: their tables stand beside their layers. `load_config` checks everything.

    Args:
        path, overrides: see `load_config`.

    Raises:
        MdnnError: see `load_config`.
    """
    path, table = _read(path)
    try:
        for text in overrides:
            if ".mixer" not in text.partition("=")[0]:
                set_key(Config, table, text)
        parse(schema_for(Config, table), _without_mixers(table))
    except MdnnError as error:
        raise MdnnError(f"{path}: {error}") from None


def _without_mixers(value):
    if isinstance(value, dict):
        return {key: _without_mixers(one) for key, one in value.items() if key != "mixer"}
    return [_without_mixers(one) for one in value] if isinstance(value, list) else value


def _read(path):
    """Returns the path of a config file and its table."""
    path = find_config(path)
    text = read_small_text(path, MAX_BYTES)
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MAX_DOTS and not _ONE_TEXT.fullmatch(line):
            raise MdnnError(
                f"{path}: line {number}: expected at most {MAX_DOTS} dots outside a text"
            )
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MdnnError(f"{path} cannot be read as TOML: {error}") from None
    backbone = table.get("backbone")
    # The table of the backbone's layers had this name before 2026-11-28.
    if isinstance(backbone, dict) and "branch" in backbone:
        raise MdnnError(
            f"{path} was made by an older mdnn, whose config keys had other names: expected a "
            "config or a run folder of this version"
        )
    # Run folders go on opening when a key is renamed.
    if (path.parent / RUN).is_file():
        table = with_new_names(table)
    return path, table
