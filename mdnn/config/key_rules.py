"""Checks keys that layers of some kinds have alone, and keys that change nothing without others."""

import dataclasses
import operator

from mdnn.config.network_tables import NESTED
from mdnn.config.task_rules import rules_of
from mdnn.config.training_tables import Blind, RefeedTable
from mdnn.errors import MdnnError

NEEDS = (
    (
        ("train.partial.blocks",),
        "train.partial.select = 'random' or 'top'",
        lambda config: config.train.partial.select != "all",
    ),
    (
        ("train.partial.every",),
        "train.partial.select = 'random'",
        lambda config: config.train.partial.select == "random",
    ),
    (
        tuple(f"train.blind.{field.name}" for field in dataclasses.fields(Blind)),
        "train.method = 'blind'",
        lambda config: config.train.method == "blind",
    ),
    (
        ("refeed.halt_weight", "refeed.halt_exploration_prob"),
        "refeed.step_schedule = 'halt'",
        lambda config: config.refeed.step_schedule == "halt",
    ),
    (
        ("refeed.steps_by_length.least", "refeed.steps_by_length.most"),
        "refeed.step_schedule = 'length'",
        lambda config: config.refeed.step_schedule == "length",
    ),
    (
        ("tandem.exchange_from", "tandem.exchange_full"),
        "tandem.exchange above 0",
        lambda config: config.tandem.exchange > 0,
    ),
    (("tokens.letters",), "tokens.words above 0", lambda config: config.tokens.words > 0),
    (
        ("tokens.subword_kind",),
        "tokens.subwords above 0",
        lambda config: config.tokens.subwords > 0,
    ),
)
"""Tuples of keys, the setting they need (as errors name it), and a test for it: config to bool."""

OF_KINDS = (
    (NESTED, (("block", ()), ("depth", 1), ("norm_epsilon", 1e-5))),
    (
        ("chunks",),
        (
            ("cut", "space"),
            ("shortest", 4),
            ("longest", 12),
            ("kernels", 2),
            ("letters", 6.0),
            ("ratio_loss", 0.03),
        ),
    ),
    (("ngrams",), (("lengths", (3, 4, 5)), ("rows", 8192))),
)
"""Keys of layers of some kinds alone, with their defaults; errors name the kinds."""

NOT_OF_KINDS = (
    ((*NESTED, "ngrams"), (("gate", "none"), ("activation", "none"))),
    (("linear",), (("gate", "none"), ("width", 0))),
    (("feedforward", "linear", *NESTED, "ngrams"), (("stack", 1), ("times", 1), ("project", True))),
)
"""Keys that layers of some kinds do not have, with their defaults."""


def check_idle_keys(config):
    """Refuses keys of tables that change nothing.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first such key, and what it needs.
    """
    for keys, need, is_there in NEEDS:
        if is_there(config):
            continue
        for key in keys:
            table, name = key.rsplit(".", 1)
            table = operator.attrgetter(table)(config)
            value, default = getattr(table, name), getattr(type(table), name)
            if value != default:
                raise MdnnError(
                    f"{key}: changes nothing without {need}: expected {default!r}, received "
                    f"{value!r}"
                )


def check_layer_keys(where, layer):
    """Refuses keys of a layer that belong to layers of another kind, or change nothing.

    Args:
        where: str, the layer's name for error messages.
        layer: `mdnn.config.network_tables.LayerTable`, or `FoldLayer`.

    Raises:
        MdnnError: names the first such key.
    """
    for kinds, keys in NOT_OF_KINDS:
        for name, value in keys if layer.kind in kinds else ():
            if getattr(layer, name, value) != value:
                raise MdnnError(f"{where}.{name}: not a key of kind = {layer.kind!r}")
    for kinds, keys in OF_KINDS:
        for name, value in keys if layer.kind not in kinds else ():
            if getattr(layer, name, value) != value:
                article = " or ".join("a fold" if kind == "fold" else kind for kind in kinds)
                raise MdnnError(
                    f"{where}.{name}: only a key of {article}, received kind = {layer.kind!r}"
                )
    runs = getattr(layer, "stack", 1) * getattr(layer, "times", 1)
    if layer.gate != "none" and layer.activation != "none" and runs == 1:
        raise MdnnError(
            f"{where}.activation: the gate is the nonlinearity of this layer: expected 'none' with "
            f"gate = {layer.gate!r}, received {layer.activation!r}"
        )


def check_chunks(where, layer, config):
    """Refuses a layer of chunks that the rest of a config does not allow.

    Args:
        where: str, the layer's name for error messages.
        layer: `mdnn.config.network_tables.LayerTable` of kind "chunks".
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first key that does not fit.
    """
    positions = config.context.positions
    _check_characters(where, "chunks", "cuts", config)
    if layer.longest > positions:
        raise MdnnError(
            f"{where}.longest: expected at most the {positions} positions of context.grid, "
            f"received {layer.longest}"
        )
    if layer.shortest > layer.longest:
        raise MdnnError(
            f"{where}.shortest: expected at most longest = {layer.longest}, received "
            f"{layer.shortest}"
        )
    for number, inner in enumerate(layer.block):
        for k, mixer in enumerate(inner.mixer):
            if mixer.axes not in ((), (-1,)):
                raise MdnnError(
                    f"{where}.block.{number}.mixer.{k}.axes: chunks have one axis: expected no "
                    f"axes (or -1, the channels), received {list(mixer.axes)}"
                )


def check_ngrams(where, layer, config):
    """Refuses a layer of n-grams that the rest of a config does not allow.

    Args:
        where, layer, config: see `check_chunks`; the layer is of kind "ngrams".

    Raises:
        MdnnError: names the first key that does not fit.
    """
    _check_characters(where, "ngrams", "reads", config)
    if not layer.lengths or len({*layer.lengths}) < len(layer.lengths):
        raise MdnnError(
            f"{where}.lengths: expected different numbers of characters, received "
            f"{list(layer.lengths)}"
        )
    if layer.norm != "rms":
        raise MdnnError(f"{where}.norm: not a key of kind = 'ngrams', whose tables are not normed")
    if not layer.width:
        raise MdnnError(f"{where}.width: n-grams need channels of a row of a table, received none")


def _check_characters(where, kind, verb, config):
    """Refuses contexts that are not texts of characters, read from the beginning."""
    if not rules_of(config).has_chunks:
        raise MdnnError(
            f"{where}.kind: {kind!r} {verb} the text of context.layout = 'stream', received "
            f"{config.context.layout!r}"
        )
    if others := [name for name in config.tokens.modalities if name not in ("text", "word")]:
        raise MdnnError(
            f"{where}.kind: {kind!r} {verb} characters and words, received {others[0]!r} in "
            "tokens.modalities"
        )
    if config.train.objectives.whole:
        raise MdnnError(
            f"{where}.kind: {kind!r} needs train.objectives.autoregressive alone: a text with "
            "mask tokens has no words to read"
        )
    if config.refeed != RefeedTable():
        raise MdnnError(
            f"{where}.kind: {kind!r} does not support refeeding: expected no keys of [refeed]"
        )


OF_CHARACTERS = {"chunks": check_chunks, "ngrams": check_ngrams}
"""Dict from the kinds of layers that read characters to their checks."""
