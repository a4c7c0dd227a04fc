"""Checks the keys of layers that read characters: kinds "chunks" and "ngrams"."""

from mdnn.config.task_rules import rules_of
from mdnn.config.training_tables import RefeedTable
from mdnn.errors import MdnnError


def check_chunks(where, layer, config):
    """Refuses a layer of chunks that the rest of a config does not allow.

    Args:
        where: string, the layer's name for error messages.
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
    """Refuses contexts that are no texts of characters, read from the beginning."""
    if not rules_of(config).has_chunks:
        raise MdnnError(f"{where}.kind: {kind!r} {verb} the text of context.layout = 'stream'")
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
