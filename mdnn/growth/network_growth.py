"""Grows a network: origins of all weights of a larger network that computes the same."""

import numpy as np
from keras.ops import convert_to_numpy

from mdnn.errors import MdnnError
from mdnn.growth.block_growth import grow_blocks
from mdnn.growth.channel_maps import channel_map
from mdnn.growth.grid_change import grid_change
from mdnn.growth.refeed_growth import grow_refeed
from mdnn.growth.stream_growth import Stream, grow_norm, stream_rules
from mdnn.growth.vocabulary_growth import (
    grow_embedding,
    grow_halt,
    grow_heads,
    vocabulary_rules,
)


def modes_of(config):
    """Returns the values of `causal` that a config's network is called with, a frozenset."""
    objectives = config.train.objectives
    called = ((True, objectives.autoregressive > 0), (False, objectives.whole))
    return frozenset(causal for causal, trained in called if trained)


def network_origins(old, new, exact=True):
    """Returns where each weight of a larger network comes from.

    On contexts that the old network could read, laid into the corner of the larger grid, the larger
    network gives the same scores.

    Args:
        old, new: `mdnn.models.network.Network`, the new one with its initial weights.
        exact: bool; `False` (for `mdnn.growth.narrowing`) also describes changes of the grid
            after which the scores would differ.

    Returns:
        Dict from the paths of the new weights to `mdnn.growth.origins.Origin`s.

    Raises:
        MdnnError: names the first change that growing cannot make, and why.
    """
    if old.config.tandem.members or new.config.tandem.members:
        raise MdnnError("tandem.members: networks in tandem do not grow; grow one of them alone")
    change = grid_change(old, new)
    before, after = old.config.backbone, new.config.backbone
    known = {block.name: block for block in old.blocks}
    pairs = [(known[block.name], block) for block in new.blocks if block.name in known]
    widths = before.width, after.width
    rules = [*stream_rules(pairs, widths), *vocabulary_rules(new.embedding)]
    channels = channel_map(*widths, rules, "backbone.width")
    modes = modes_of(old.config) | modes_of(new.config)
    stream = Stream(change, channels, before.width, modes, exact)
    if before.final_norm != after.final_norm:
        raise MdnnError(
            f"backbone.final_norm: growing cannot change {before.final_norm!r} to "
            f"{after.final_norm!r}"
        )
    found = {
        **grow_embedding(old.embedding, new.embedding, stream),
        **grow_blocks(old.blocks, new.blocks, stream, "backbone.layer"),
        **grow_norm(old.final_norm, new.final_norm, stream, "backbone.final_norm"),
        **grow_heads(old.heads, new.heads, stream),
        **grow_halt(old.halt, new.halt, stream),
        **grow_refeed(old, new, stream),
    }
    missing = [weight.path for weight in new.weights if id(weight) not in found]
    if missing:
        raise MdnnError(f"no growth rule for the weights of {missing[0]!r}")
    return {weight.path: found[id(weight)] for weight in new.weights}


def grow_weights(origins, new, values=None):
    """Returns the weights of a larger network.

    Args:
        origins: result of `network_origins`.
        new: the larger network, with its initial weights.
        values: dict from the paths of old weights to arrays; `None` for the values that they hold.

    Returns:
        Dict from the paths of the new weights to arrays.
    """
    grown = {}
    for weight in new.weights:
        origin, old = origins[weight.path], None
        if origin.source is not None:
            old = _value(origin.source) if values is None else values[origin.source.path]
        grown[weight.path] = origin.values(old, _value(weight))
    return grown


def _value(variable):
    return np.array(convert_to_numpy(variable))
