"""Adds residual blocks that compute nothing before the first step."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.growth.origins import created
from mdnn.layers.mixing.mean import AxisMean
from mdnn.layers.multidim_dense import MultidimDense
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.chunks.chunk_block import ChunkBlock
from mdnn.models.chunks.ngram_block import NgramBlock


def added_block(block, known, grow, where):
    """Returns the origins of the weights of a block that the old network lacks.

    Args:
        block: the new block, `block_<number>_<label>`.
        known: dict from names to the old blocks.
        grow: function of an old and a new block that returns the origins of the new one's weights.
        where: str, the config key of its layer, for errors.

    Returns:
        Dict from the ids of its variables to `mdnn.growth.origins.Origin`s.

    Raises:
        MdnnError: the block cannot pass on what it is given.
    """
    if block.residual != "pre":
        raise MdnnError(
            f"{where}.residual: new blocks start as the identity only with residual = 'pre', "
            f"received {block.residual!r}"
        )
    _, number, label = block.name.split("_", 2)
    numbers = [int(name.split("_")[1]) for name in known if name.split("_", 2)[2] == label]
    depth = 1 + max(numbers, default=-1)
    found = {}
    if depth:
        copied = grow(known[f"block_{int(number) % depth}_{label}"], block)
        found = {key: origin.with_fresh_state() for key, origin in copied.items()}
    for variable in block.weights:
        found.setdefault(id(variable), created(variable))
    for variable in last_weights(block, where):
        found[id(variable)] = found[id(variable)].silenced(tuple(variable.shape))
    return found


def last_weights(block, where):
    """Returns the weights that make a block's output zero when they are zero.

    Raises:
        MdnnError: there are none.
    """
    if isinstance(block, ChunkBlock):
        return [*block.dense_out.weights, block.letter_table]
    if isinstance(block, (FeedForwardBlock, NgramBlock, RowBottleneck)) or getattr(
        block, "project", False
    ):
        return block.dense_out.weights
    _check_zero(block, where)
    if isinstance(block, LinearBlock):
        return block.dense.weights
    found = []
    for layer in block.sets[-1]:
        if isinstance(layer, AxisMean):
            raise MdnnError(
                f"{where}: a new block with a mixer of kind mean needs project = true, so that it "
                "can start at zero"
            )
        if isinstance(layer, MultidimDense):
            # Zero only the last kernel of a product: with two zeros neither gets a gradient.
            found += {id(t[-1].kernel): t[-1].kernel for t in _summed(layer)}.values()
        else:
            found += layer.result.weights if hasattr(layer, "result") else layer.weights
    return found


def _check_zero(block, where):
    if block.function is None:
        return
    if np.asarray(block.function(np.zeros((1, 4), "float32"))).any():
        raise MdnnError(
            f"{where}.activation: {block.activation} of zero is not zero, so that a new block "
            "would add something"
        )


def _summed(layer):
    """Returns the terms of a `MultidimDense` whose sum, or product, is its output."""
    if layer.execution == "parallel":
        return layer._terms
    if "causal" in layer.wiring.split("+"):
        # z + M z for every axis but the last, which alone is not a sum.
        return [
            term for term, added in zip(layer._terms, layer.plan.residual, strict=True) if not added
        ]
    return [layer._terms[layer.plan.order[-1]]]
