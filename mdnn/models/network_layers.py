"""The layers of a network, made from its config."""

import contextlib
import dataclasses
import math
import random

from keras import layers

from mdnn.config import training_tables
from mdnn.config.axis_names import axis_names
from mdnn.config.network_tables import FoldLayer
from mdnn.config.task_rules import rules_of
from mdnn.layers import FieldEmbedding, FieldHeads, ModalityEmbedding, ModalityHeads
from mdnn.layers.weight_rules import applied, derived_seed, seeded
from mdnn.models.blocks import FeedForwardBlock, LinearBlock, make_norm
from mdnn.models.fold import RowBottleneck
from mdnn.models.head_options import decoding, embedding_modalities
from mdnn.models.mixing import MixingBlock
from mdnn.models.parameter_limit import at_most
from mdnn.models.thinking.answer_feedback import AnswerFeedback
from mdnn.models.thinking.halting import HaltHead
from mdnn.models.thinking.recurrence import Refeed
from mdnn.tokens import WIDTH, TextTokenizer

# The words of `[refeed]` that the layer itself knows; training knows the others.
OF_RECURRENCE = ("steps", "initial_state", "inner_steps", "damping", "noise", "feedback")
OF_GRADIENTS = ("bptt_steps", "remat")


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
    with new_weights(config):
        return _made(config, words)


@contextlib.contextmanager
def new_weights(config):
    """Inside this context weights are limited and start as a config says, from its seed."""
    # Keras draws a seed from Python's generator for every initializer, whether it is used or not.
    state = random.getstate()
    try:
        with at_most(config.limits.parameters), applied(seeded(config.seed)):
            yield
    finally:
        random.setstate(state)


def _made(config, words):
    context, width, fields = config.context, config.backbone.width, config.tokens.candidates
    grid = (fields,) * (fields > 0) + context.grid
    positions = max(1, fields) * context.positions
    embedding = make_embedding(config, words)
    embedding.build((None, context.positions, WIDTH))
    blocks = make_branches(config)
    for block in blocks:
        block.build((None, *grid, width))
    final_norm = make_norm(config.backbone.final_norm, "final_norm")
    if final_norm is not None:
        final_norm.build((None, *grid, width))
    heads = make_heads(config)
    heads.build((None, positions, width))
    halt = HaltHead(name="halt") if config.refeed.step_schedule == "halt" else None
    if halt is not None:
        halt.build((None, positions, width))
    refeed = make_refeed(config, blocks)
    if refeed is not None and refeed.feedback != "state":
        refeed.echo = AnswerFeedback(final_norm, heads, embedding)
    if refeed is not None:
        refeed.build((None, *grid, width))
    return NetworkLayers(
        embedding=embedding,
        to_grid=layers.Reshape((*grid, width), name="grid"),
        blocks=tuple(blocks),
        refeed=refeed,
        final_norm=final_norm,
        to_positions=layers.Reshape((positions, width), name="positions"),
        heads=heads,
        halt=halt,
        axis_names=axis_names(config),
    )


def make_embedding(config, words):
    """The embedding layer of a config."""
    tokens = config.tokens
    if tokens.candidates:
        return FieldEmbedding(config.backbone.width, tokens.candidates, name="embedding")
    return ModalityEmbedding(
        config.backbone.width,
        modalities=embedding_modalities(config),
        table=tokens.table,
        places=tokens.coordinates,
        items=tokens.items,
        base=tokens.base,
        digits=tokens.digits,
        start=tokens.table_init,
        letters=TextTokenizer(words).letters(tokens.letters).tolist() if words else None,
        name="embedding",
    )


def make_heads(config):
    """The heads of a config."""
    if config.tokens.candidates:
        return FieldHeads(config.tokens.candidates, name="heads")
    return ModalityHeads(**decoding(config), name="heads")


def make_refeed(config, branches):
    """Returns the layer that refeeds the blocks of a config; `None` where they run once alone.

    A puzzle's can be refed in training or afterwards, whatever the config says.
    """
    words = {name: getattr(config.refeed, name) for name in OF_RECURRENCE + OF_GRADIENTS}
    plain = all(words[name] == getattr(training_tables.RefeedTable, name) for name in OF_RECURRENCE)
    if plain and not rules_of(config).always_recurrent:
        return None
    return Refeed(branches, **words, seed=config.seed, name="refeed")


def is_causal(config):
    """Whether the network of a config, as built, keeps every position from those after it."""
    return config.train.objectives.autoregressive > 0


def make_branches(config):
    """The branches of all blocks, in the order in which they run."""
    backbone = config.backbone
    layout = {"causal": is_causal(config), "seed": config.seed, "axes": axis_names(config)}
    return make_blocks(backbone.layer, backbone.depth, backbone.width, layout)


def make_blocks(specs, depth, width, layout, above=""):
    """Returns `depth` blocks of the branches of `specs`, for a stream of `width` channels.

    Args:
        layout: see `make_branch`.
        above: string, the path of the fold that they are in, `/` behind it.
    """
    # Every branch that adds to the residual stream adds a little less than the one before
    # would allow: the sum's variance at the start does not grow with depth (GPT-2's scaling).
    residuals = sum(spec.residual != "none" for spec in specs) * depth
    made = []
    for block in range(depth):
        for label, spec in zip(labels(specs), specs, strict=True):
            name = f"block_{block}_{label}"
            scale = 1 / math.sqrt(residuals) if spec.residual != "none" else 1.0
            made.append(make_branch(spec, width, scale, above + name, layout))
    return made


def labels(specs):
    """Returns what blocks are called in the names of weights, a list of strings.

    By their kinds, and with a number from the second of a kind on, so that a block of another kind
    renames nothing; a block of the same kind behind them neither.

    Args:
        specs: the tables of the blocks.
    """
    found = []
    for spec in specs:
        label, number = spec.name or spec.kind, 2
        while label in found:
            label, number = f"{spec.kind}_{number}", number + 1
        found.append(label)
    return found


def make_branch(spec, width, scale, path, layout):
    """One branch from its table of the config: a `Branch`, or an `FoldLayer` one of a fold.

    Args:
        spec: `mdnn.config.network_tables.LayerTable` or `FoldLayer`.
        width: int, channels of the stream that the branch adds to.
        scale: factor on the start value of the branch's last dense kernel.
        path: string, the names of the fold that it is in (where it is in one) and its own.
        layout: dict of `causal` (how folds are wired), `seed`, the network's, and `axes`, the names
            of the axes of its input.
    """
    common = {
        "norm": spec.norm,
        "residual": spec.residual,
        "dropout": spec.dropout,
        "bias": spec.bias,
        "scale": scale,
        "seed": derived_seed(layout["seed"], f"{path}/dropout"),
        "axis_names": layout["axes"],
        "name": path.rsplit("/", 1)[-1],
    }
    if spec.kind == "linear":
        return LinearBlock(spec.activation, **common)
    if spec.kind == "feedforward":
        return FeedForwardBlock(spec.width or 2 * width, spec.gate, spec.activation, **common)
    if spec.kind == "fold":
        rows = {**layout, "axes": layout["axes"][:-1]}
        inner = make_blocks(spec.block, spec.depth, spec.width, rows, f"{path}/")
        return RowBottleneck(spec.width, inner, layout["causal"], **common)
    mixers = spec.mixer
    if isinstance(spec, FoldLayer):
        return MixingBlock(mixers, gate=spec.gate, activation=spec.activation, **common)
    return MixingBlock(
        mixers,
        stack=spec.stack,
        times=spec.times,
        gate=spec.gate,
        activation=spec.activation,
        project=spec.project,
        **common,
    )
