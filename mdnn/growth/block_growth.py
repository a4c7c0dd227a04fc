"""Grows residual blocks: their norms, dense layers and mixers."""

import functools

import numpy as np

from mdnn import activations
from mdnn.errors import MdnnError
from mdnn.growth.channel_maps import activated, channel_map, halves
from mdnn.growth.mixer_growth import grow_mixer
from mdnn.growth.nested_growth import grow_chunks, grow_fold
from mdnn.growth.new_blocks import added_block
from mdnn.growth.origins import same
from mdnn.growth.stream_growth import check_kept, grow_dense, grow_norm, mix_rules
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.chunks.chunk_block import ChunkBlock
from mdnn.models.chunks.ngram_block import NgramBlock


def grow_block(old, new, stream, where):
    """Returns the origins of a residual block's weights.

    Args:
        old, new: blocks of the same name.
        stream: `Stream`.
        where: str, the config key of the block's layer, for errors.

    Returns:
        Dict from the ids of the new variables to `Origin`s.

    Raises:
        MdnnError: the larger block could not compute what the old one did.
    """
    for name in ("norm", "residual", "bias"):
        check_kept(old, new, name, where)
    found = grow_norm(old.norm_layer, new.norm_layer, stream, f"{where}.norm")
    for kind, grow in (
        (FeedForwardBlock, _grow_feedforward),
        (LinearBlock, _grow_linear),
        (MixingBlock, _grow_mix),
        (RowBottleneck, functools.partial(grow_fold, grow_blocks)),
        (ChunkBlock, functools.partial(grow_chunks, grow_blocks)),
        (NgramBlock, _grow_ngrams),
    ):
        if isinstance(new, kind):
            if type(old) is not type(new):
                raise MdnnError(
                    f"{where}.kind: growing cannot change the kind of a layer, from "
                    f"{type(old).__name__} to {type(new).__name__}"
                )
            return found | grow(old, new, stream, where)
    raise MdnnError(f"{where}.kind: no growth rule for a {type(new).__name__}")


def _grow_feedforward(old, new, stream, where):
    for name in ("gate", "activation"):
        check_kept(old, new, name, where)
    rules = activated(new.gate_function, new.gate) + activated(new.function, new.activation)
    hidden = channel_map(old.width, new.width, rules, f"{where}.width")
    columns = halves(hidden, old.width) if new.gate != "none" else hidden
    return grow_dense(old.dense_in, new.dense_in, stream.channels, columns) | grow_dense(
        old.dense_out, new.dense_out, hidden, stream.channels, True, True
    )


def _grow_linear(old, new, stream, where):
    check_kept(old, new, "activation", where)
    _check_zero(new.function, new.activation, stream, where)
    return grow_dense(old.dense, new.dense, stream.channels, stream.channels, False, True)


def _grow_ngrams(old, new, stream, where):
    for name in ("lengths", "rows", "width"):
        check_kept(old, new, name, where)
    dense = grow_dense(old.dense_out, new.dense_out, None, stream.channels, False, True)
    return {id(new.table): same(old.table, new.table), **dense}


def _check_zero(function, name, stream, where):
    """Refuses an activation that is not zero at zero, in a wider stream."""
    if function is None or not stream.wider:
        return
    if np.asarray(activations.get(name)(np.zeros((1, 4), "float32"))).any():
        raise MdnnError(
            f"{where}.activation: {name} of zero is not zero, so that new channels of the stream "
            "would not be silent"
        )


def _grow_mix(old, new, stream, where):
    for name in ("gate", "activation", "project", "stack", "times"):
        check_kept(old, new, name, where)
    if len(old.mixers) != len(new.mixers):
        raise MdnnError(
            f"{where}.mixer: growing keeps the {len(old.mixers)} mixers, received {len(new.mixers)}"
        )
    found = {}
    width = stream.width
    if new.project:
        # Inside, new channels are computed, but have output weights of zero.
        width = old.mixing_width(width)
        widths = width, new.mixing_width(len(stream.channels))
        place = f"{where}.width" if old.width or new.width else where
        inner = channel_map(*widths, mix_rules(old, new, widths), place)
        columns = halves(inner, width) if new.gate != "none" else inner
        found |= grow_dense(old.dense_in, new.dense_in, stream.channels, columns)
        found |= grow_dense(old.dense_out, new.dense_out, inner, stream.channels, True, True)
    else:
        inner = stream.channels
        _check_zero(new.function, new.activation, stream, where)
    for before, after in zip(old.sets, new.sets, strict=True):
        for number, (a, b) in enumerate(zip(before, after, strict=True)):
            place = f"{where}.mixer.{number}"
            around = stream.around(place, inner, width, not new.project)
            found |= grow_mixer(a, b, around)
    return found


def grow_blocks(old, new, stream, where):
    """Returns the origins of the weights of a list of blocks.

    A new block starts as a copy of the block that has the same place in the old stack, its last
    kernel zero: it adds nothing to the stream before the first step.

    Args:
        old, new: lists of blocks named `block_<number>_<label>`.
        stream: `Stream`.
        where: str, the config key of the layers, for errors.
    """
    known = {block.name: block for block in old}
    if missing := [name for name in known if name not in {block.name for block in new}]:
        raise MdnnError(f"{where}: growing cannot remove layers: {missing[0]} is missing")
    labels = list(dict.fromkeys(_label(block.name) for block in new))
    found = {}
    for block in new:
        here = f"{where}.{labels.index(_label(block.name))}"
        if block.name in known:
            found |= grow_block(known[block.name], block, stream, here)
        else:

            def grow(before, after, here=here):
                return grow_block(before, after, stream, here)

            found |= added_block(block, known, grow, here)
    return found


def _label(name):
    return name.split("_", 2)[2]
