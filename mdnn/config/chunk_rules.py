"""Checks the keys of layers of kind "chunks"."""

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
    if not rules_of(config).has_chunks:
        raise MdnnError(f"{where}.kind: 'chunks' cuts the text of context.layout = 'stream'")
    if others := [name for name in config.tokens.modalities if name not in ("text", "word")]:
        raise MdnnError(
            f"{where}.kind: 'chunks' cuts characters and words, received {others[0]!r} in "
            "tokens.modalities"
        )
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
    if config.train.objectives.whole:
        raise MdnnError(
            f"{where}.kind: 'chunks' needs train.objectives.autoregressive alone: a text with "
            "mask tokens has no words to cut"
        )
    if config.refeed != RefeedTable():
        raise MdnnError(
            f"{where}.kind: 'chunks' does not support refeeding: expected no keys of [refeed]"
        )
    for number, inner in enumerate(layer.block):
        for k, mixer in enumerate(inner.mixer):
            if mixer.axes not in ((), (-1,)):
                raise MdnnError(
                    f"{where}.block.{number}.mixer.{k}.axes: chunks have one axis: expected no "
                    f"axes (or -1, the channels), received {list(mixer.axes)}"
                )
