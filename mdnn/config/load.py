"""What a network and its training are made of: the config and its limits.

A config is a TOML file; nothing in it is run or imported. `load_config` reads it into a
`Config`, whose fields, and those of its tables, are all the keys there are.
"""

import dataclasses
import re
import tomllib

from mdnn.config.axis_names import named, numbered
from mdnn.config.data_tables import Context, Data, Tokens
from mdnn.config.network_tables import Backbone
from mdnn.config.schema import dump, option, parse, type_at, without_other_words
from mdnn.config.shipped import find_config
from mdnn.config.training_tables import Loss, RefeedTable, Train
from mdnn.config.validate import check
from mdnn.errors import MdnnError
from mdnn.files import read_text

MOST, DOTS = 1 << 20, 100
"""Bytes that a config file, and dots that a line of it may have: a dotted key takes tomllib time
and memory by the square of its parts, 40 GB for a file of 200 kB."""

_ONE_TEXT = re.compile(r'[ \t]*[\w.-]{1,200}[ \t]*=[ \t]*"(?:[^"\\]|\\.)*"[ \t]*')


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a network may be, so that a slip or a stranger's config does not fill the machine.

    A run folder's network has no more weights than its file, whatever is said here.
    """

    # Weights; 10^9 are 4 GB, and 16 GB while they are trained.
    parameters: int = option(10**9, least=1)
    # Positions of a context.
    positions: int = option(10**8, least=1)
    # Branches that are run, one after another, in one pass with all its refeeds.
    layers: int = option(10_000, least=1)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that `build` and `train` need."""

    seed: int = option(1, least=0, most=2**31 - 1)
    data: Data = option(factory=Data)
    tokens: Tokens = option(factory=Tokens)
    context: Context = option(factory=Context)
    backbone: Backbone = option(factory=Backbone)
    refeed: RefeedTable = option(factory=RefeedTable)
    loss: Loss = option(factory=Loss)
    train: Train = option(factory=Train)
    limits: Limits = option(factory=Limits)

    @classmethod
    def from_dict(cls, table):
        """A checked config from nested dicts as TOML gives them."""
        config = numbered(parse(cls, table))
        check(config)
        return config

    def to_toml(self):
        """TOML text from which the same config is read."""
        return dump(named(self))


def load_config(path, overrides=()):
    """Reads a config.

    Args:
        path: a TOML file; or the name of a config that comes with mdnn, such as `text`.
        overrides: texts `KEY=VALUE`, each replacing one key: `train.minutes=3`,
            `data.source=python-docs`, `backbone.layer.0.gate=gelu`. The VALUE of a key of
            texts is a text as it stands (`data.source=1984`), or a TOML string in quotes; other
            keys take a TOML value.

    Raises:
        MdnnError: no such file, not TOML, an unknown or impossible key or value.
    """
    path = find_config(path)
    text = read_text(path, MOST)
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > DOTS and not _ONE_TEXT.fullmatch(line):
            raise MdnnError(f"{path}: line {number}: expected at most {DOTS} dots outside a text")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MdnnError(f"{path} cannot be read as TOML: {error}") from None
    try:
        for text in overrides:
            _set(table, text)
        return Config.from_dict(table)
    except MdnnError as error:
        raise MdnnError(f"{path}: {error}") from None


def _value(text, kind):
    """The value that a text on the command line stands for, at a key of this type.

    A key of texts takes the text as it is, blanks included, unless it is a TOML string in quotes.
    Other keys take TOML values; what is none is a text, which the schema then refuses.
    """
    quoted = text.strip().startswith(('"', "'"))
    if kind is str and not quoted:
        return text
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text if kind is str else text.strip()
    if set(table) != {"value"} or (kind is str and not isinstance(table["value"], str)):
        return text
    return table["value"]


def _set(table, text):
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise MdnnError(f"expected KEY=VALUE, received {text!r}")
    *path, last = key.strip().split(".")
    value = _value(value, type_at(Config, [*path, last]))
    place = table
    for part in path:
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise MdnnError(f"{key}: expected a number below {len(place)}, received {part!r}")
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            raise MdnnError(f"{key}: {part!r} is below a value, not a table")
    if isinstance(place, list):
        if not last.isdecimal() or int(last) >= len(place):
            raise MdnnError(f"{key}: expected a number below {len(place)}, received {last!r}")
        place[int(last)] = value
    elif isinstance(place, dict):
        # Minutes and steps are two ways to say the same; the later word stands.
        if path == ["train"] and last in ("minutes", "steps"):
            place.pop("steps" if last == "minutes" else "minutes", None)
        if last == "kind":
            kept = without_other_words(type_at(Config, path), place, value)
            for word in set(place) - set(kept):
                del place[word]
        place[last] = value
    else:
        raise MdnnError(f"{key}: {last!r} is below a value, not a table")
