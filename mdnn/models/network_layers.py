"""The layers of a network, made from its config."""

import dataclasses
import math

from keras import layers

from mdnn.layers import FieldEmbedding, FieldHeads, ModalityEmbedding, ModalityHeads
from mdnn.models.branches import FeedForwardBranch, LinearBranch, make_norm
from mdnn.models.echo import Echo
from mdnn.models.folding import FoldBranch
from mdnn.models.halting import HaltHead
from mdnn.models.mixing import MixBranch
from mdnn.models.network_tables import Inner
from mdnn.models.refeeding import Refeed
from mdnn.models.vocabulary import decoding, embedding_modalities
from mdnn.tokens import WIDTH, TextCodec

# The words of `[refeed]` that the layer itself knows; training knows the others.
OF_LAYER = ("steps", "backprop", "start", "remat", "inner", "damping", "noise", "what")


@dataclasses.dataclass(frozen=True)
class NetworkLayers:
    """The layers of a network; `mdnn.models.network.Network` says what each is."""

    embedding: object
    to_grid: object
    blocks: tuple
    refeed: object
    final_norm: object
    to_positions: object
    heads: object
    halt: object
    axis_names: tuple


def make_layers(config, words):
    """Makes the layers of a config, with their weights.

    Args:
        config: `mdnn.Config`.
        words: tuple of strings, the table of words.

    Returns:
        A `NetworkLayers`.
    """
    context, width, fields = config.context, config.backbone.width, config.tokens.fields
    grid = (fields,) * (fields > 0) + context.grid
    positions = max(1, fields) * context.slots
    embedding = make_embedding(config, words)
    embedding.build((None, context.slots, WIDTH))
    blocks = make_branches(config)
    for block in blocks:
        block.build((None, *grid, width))
    final_norm = make_norm(config.backbone.final_norm, "final_norm")
    if final_norm is not None:
        final_norm.build((None, *grid, width))
    heads = make_heads(config)
    heads.build((None, positions, width))
    refeed = make_refeed(config, blocks)
    if refeed is not None and refeed.what != "state":
        refeed.echo = Echo(final_norm, heads, embedding)
    return NetworkLayers(
        embedding=embedding,
        to_grid=layers.Reshape((*grid, width), name="grid"),
        blocks=tuple(blocks),
        refeed=refeed,
        final_norm=final_norm,
        to_positions=layers.Reshape((positions, width), name="positions"),
        heads=heads,
        halt=HaltHead(name="halt") if config.refeed.rule == "halt" else None,
        axis_names=axis_names(config),
    )


def axis_names(config):
    """Returns the names of the axes of a config's grid, a tuple of strings."""
    return ("candidate",) * (config.tokens.fields > 0) + config.context.axis_names


def make_embedding(config, words):
    """The embedding layer of a config."""
    tokens = config.tokens
    if tokens.fields:
        return FieldEmbedding(config.backbone.width, tokens.fields, name="embedding")
    return ModalityEmbedding(
        config.backbone.width,
        modalities=embedding_modalities(config),
        table=tokens.table,
        places=tokens.places,
        items=tokens.items,
        base=tokens.base,
        digits=tokens.digits,
        start=tokens.start,
        letters=TextCodec(words).letters(tokens.letters).tolist() if words else None,
        name="embedding",
    )


def make_heads(config):
    """The heads of a config."""
    if config.tokens.fields:
        return FieldHeads(config.tokens.fields, name="heads")
    return ModalityHeads(**decoding(config), name="heads")


def make_refeed(config, branches):
    """The layer that refeeds the branches of a config; `None` where they run once alone.

    A puzzle's can be refed in training or afterwards, whatever the config says.
    """
    refeed = config.refeed
    if refeed.steps == 1 and refeed.start == "zeros" and config.context.layout != "puzzle":
        return None
    words = {name: getattr(refeed, name) for name in OF_LAYER}
    return Refeed(branches, **words, seed=config.seed, name="refeed")


def is_causal(config):
    """Whether the network of a config, as built, keeps every slot from those after it."""
    return config.train.objectives.turn > 0


def make_branches(config):
    """The branches of all blocks, in the order in which they run."""
    backbone = config.backbone
    causal = is_causal(config)
    return make_blocks(backbone.branch, backbone.depth, backbone.width, causal)


def make_blocks(specs, depth, width, causal):
    """`depth` blocks of the branches of `specs`, for a stream of `width` channels."""
    # Every branch that adds to the residual stream adds a little less than the one before
    # would allow: the sum's variance at the start does not grow with depth (GPT-2's scaling).
    residuals = sum(spec.residual != "none" for spec in specs) * depth
    made = []
    for block in range(depth):
        for number, spec in enumerate(specs):
            name = f"block_{block}_{number}_{spec.kind}"
            scale = 1 / math.sqrt(residuals) if spec.residual != "none" else 1.0
            made.append(make_branch(spec, width, scale, name, causal))
    return made


def make_branch(spec, width, scale, name, causal):
    """One branch from its table of the config: a `Branch`, or an `Inner` one of a fold.

    Args:
        spec: `mdnn.models.network_tables.Branch` or `Inner`.
        width: int, channels of the stream that the branch adds to.
        scale: factor on the start value of the branch's last dense kernel.
        name: str.
        causal: boolean, how folds are wired.
    """
    common = {
        "norm": spec.norm,
        "residual": spec.residual,
        "dropout": spec.dropout,
        "bias": spec.bias,
        "scale": scale,
        "name": name,
    }
    if spec.kind == "linear":
        return LinearBranch(spec.activation, **common)
    if spec.kind == "feedforward":
        return FeedForwardBranch(spec.width or 2 * width, spec.gate, spec.activation, **common)
    if spec.kind == "fold":
        inner = make_blocks(spec.block, spec.depth, spec.width, causal)
        return FoldBranch(spec.width, inner, causal, **common)
    mixers = [dataclasses.asdict(mixer) for mixer in spec.mixer]
    if isinstance(spec, Inner):
        return MixBranch(mixers, gate=spec.gate, activation=spec.activation, **common)
    return MixBranch(
        mixers,
        stack=spec.stack,
        times=spec.times,
        gate=spec.gate,
        activation=spec.activation,
        project=spec.project,
        **common,
    )
