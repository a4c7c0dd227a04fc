"""Builds residual blocks from the tables of their layers in the config."""

import math

from mdnn.config.network_tables import FoldLayer
from mdnn.layers.weight_rules import derived_seed
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.chunks.chunk_block import ChunkBlock
from mdnn.models.chunks.ngram_block import NgramBlock


def make_blocks(specs, depth, width, layout, above=""):
    """Returns the residual blocks of `depth` repetitions of the layers in `specs`.

    Args:
        specs: the tables of the layers.
        depth: int, number of repetitions.
        width: int, channels of the residual stream.
        layout: see `make_block`.
        above: str, the path of the enclosing fold, ending in `/`; empty outside folds.
    """
    # Scale the last kernel of every residual block by 1 / sqrt(number of blocks), as GPT-2 does:
    # the variance of the sum at initialization does not grow with depth.
    residuals = sum(spec.residual != "none" for spec in specs) * depth
    made = []
    for block in range(depth):
        for label, spec in zip(labels(specs), specs, strict=True):
            name = f"block_{block}_{label}"
            scale = 1 / math.sqrt(residuals) if spec.residual != "none" else 1.0
            made.append(make_block(spec, width, scale, above + name, layout))
    return made


def labels(specs):
    """Returns the labels of layers in the names of weights, a list of strings.

    A label is the layer's name or its kind, with a number from the second layer of a kind on.
    Adding a layer of another kind, or a last one of the same kind, renames no other layer.

    Args:
        specs: the tables of the layers.
    """
    found = []
    for spec in specs:
        label, number = spec.name or spec.kind, 2
        while label in found:
            label, number = f"{spec.kind}_{number}", number + 1
        found.append(label)
    return found


def make_block(spec, width, scale, path, layout):
    """Returns one residual block from its table of the config.

    Args:
        spec: `mdnn.config.network_tables.LayerTable`, or `FoldLayer` inside a fold or chunks.
        width: int, channels of the residual stream.
        scale: float, factor on the initial values of the block's last dense kernel.
        path: str, the block's name, preceded by the path of the enclosing fold.
        layout: dict of `causal` (boolean, the wiring of folds), `seed` (int, the network's),
            `axes` (names of the axes of the block's input), `epsilon` (float, of its norms), `slab`
            and `remat` (see `ResidualBlock`).
    """
    common = {
        "norm": spec.norm,
        "residual": spec.residual,
        "dropout": spec.dropout,
        "bias": spec.bias,
        "scale": scale,
        "seed": derived_seed(layout["seed"], f"{path}/dropout"),
        "axis_names": layout["axes"],
        "epsilon": layout["epsilon"],
        "slab": layout["slab"],
        "remat": layout["remat"],
        "name": path.rsplit("/", 1)[-1],
    }
    if spec.kind == "linear":
        return LinearBlock(spec.activation, **common)
    if spec.kind == "feedforward":
        return FeedForwardBlock(spec.width or 2 * width, spec.gate, spec.activation, **common)
    if spec.kind == "fold":
        rows = {**layout, "axes": layout["axes"][:-1], "epsilon": spec.norm_epsilon}
        inner = make_blocks(spec.block, spec.depth, spec.width, rows, f"{path}/")
        return RowBottleneck(spec.width, inner, layout["causal"], **common)
    if spec.kind == "chunks":
        chunks = {**layout, "axes": ("chunk",), "epsilon": spec.norm_epsilon}
        inner = make_blocks(spec.block, spec.depth, spec.width, chunks, f"{path}/")
        words = ("cut", "shortest", "longest", "kernels", "letters", "ratio_loss")
        more = {word: getattr(spec, word) for word in words}
        return ChunkBlock(spec.width, inner, **more, **common)
    if spec.kind == "ngrams":
        return NgramBlock(spec.lengths, spec.rows, spec.width, **common)
    mixers = spec.mixer
    if isinstance(spec, FoldLayer):
        return MixingBlock(
            mixers, gate=spec.gate, activation=spec.activation, width=spec.width, **common
        )
    return MixingBlock(
        mixers,
        width=spec.width,
        stack=spec.stack,
        times=spec.times,
        gate=spec.gate,
        activation=spec.activation,
        project=spec.project,
        **common,
    )
