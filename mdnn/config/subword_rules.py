"""Checks the keys of layers of kind "subwords"."""

from mdnn.config.task_rules import rules_of
from mdnn.config.training_tables import RefeedTable
from mdnn.errors import MdnnError


def check_subwords(where, layer, config):
    """Refuses a layer of subwords that the rest of a config does not allow.

    Args:
        where: string, the layer's name for error messages.
        layer: `mdnn.config.network_tables.LayerTable` of kind "subwords".
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first key that does not fit.
    """
    positions = config.context.positions
    if not rules_of(config).has_chunks:
        raise MdnnError(f"{where}.kind: 'subwords' cuts the text of context.layout = 'stream'")
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
            f"{where}.kind: 'subwords' needs train.objectives.autoregressive alone: a text with "
            "mask tokens has no words to cut"
        )
    if config.refeed != RefeedTable():
        raise MdnnError(f"{where}.kind: 'subwords' is not refed: expected no keys of [refeed]")
    for number, inner in enumerate(layer.block):
        for k, mixer in enumerate(inner.mixer):
            if mixer.axes not in ((), (-1,)):
                raise MdnnError(
                    f"{where}.block.{number}.mixer.{k}.axes: chunks have one axis: expected no "
                    f"axes (or -1, the channels), received {list(mixer.axes)}"
                )
