"""Builds the layers of a network from its config."""

import contextlib
import dataclasses
import functools
import math

from keras import layers

from mdnn.config import training_tables
from mdnn.config.axis_names import axis_names
from mdnn.config.network_tables import FoldLayer
from mdnn.config.refeed_rules import stops_positions, trained_steps
from mdnn.config.task_rules import rules_of
from mdnn.layers import FieldEmbedding, FieldHeads, ModalityEmbedding, ModalityHeads
from mdnn.layers.weight_rules import applied, derived_seed, seeded
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.blocks.residual_block import make_norm
from mdnn.models.call_options import CallOptions
from mdnn.models.chunks.chunk_block import ChunkBlock
from mdnn.models.chunks.ngram_block import NgramBlock
from mdnn.models.head_options import decoding, embedding_modalities
from mdnn.models.parameter_limit import at_most
from mdnn.models.slot_embedding import SlotEmbedding
from mdnn.models.thinking.answer_feedback import AnswerFeedback
from mdnn.models.thinking.halting import HaltHead, HaltingPositions
from mdnn.models.thinking.recurrence import Refeed
from mdnn.models.thinking.step_limits import StepLimits
from mdnn.tokens import WIDTH, TextTokenizer

# Keys of `[refeed]` that the layer takes; the others concern training.
OF_RECURRENCE = (
    "steps",
    "initial_state",
    "inner_steps",
    "damping",
    "noise",
    "feedback",
    "gated_steps",
)
OF_GRADIENTS = ("bptt_steps", "remat")


@dataclasses.dataclass(frozen=True)
class NetworkLayers:
    """The layers of a network; see the attributes of `mdnn.models.network.Network`."""

    embedding: object
    to_grid: object
    blocks: tuple
    refeed: object
    final_norm: object
    to_positions: object
    heads: object
    halt: object
    step_limits: object
    axis_names: tuple


def make_layers(config, words):
    """Builds the layers of a config, with their weights.

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
    """Context manager that limits and seeds new weights by `limits.parameters` and `seed`."""
    with at_most(config.limits.parameters), applied(seeded(config.seed)):
        yield


def _made(config, words):
    context, width, fields = config.context, config.backbone.width, config.tokens.candidates
    grid = (fields,) * (fields > 0) + context.grid
    positions = max(1, fields) * context.positions
    embedding = make_embedding(config, words)
    embedding.build((None, context.positions, WIDTH))
    blocks = make_branches(config)
    for block in blocks:
        block.build((None, *grid, width))
    final_norm = make_norm(
        config.backbone.final_norm, "final_norm", epsilon=config.backbone.norm_epsilon
    )
    if final_norm is not None:
        final_norm.build((None, *grid, width))
    heads = make_heads(config)
    if config.tokens.tied:
        heads.tie(embedding)
    heads.build((None, positions, width))
    halt, each_position = None, stops_positions(config)
    if config.refeed.step_schedule == "halt":
        halt = HaltHead(each_position, name="halt")
    if halt is not None:
        halt.build((None, positions, width))
    refeed = make_refeed(config, blocks)
    if refeed is not None and refeed.feedback != "state":
        refeed.echo = AnswerFeedback(final_norm, heads, embedding)
    if refeed is not None:
        if halt is not None and each_position:
            refeed.halts = HaltingPositions(final_norm, halt)
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
        step_limits=make_step_limits(config),
        axis_names=axis_names(config),
    )


def make_embedding(config, words):
    """Returns the embedding layer of a config."""
    tokens = config.tokens
    if tokens.candidates:
        return FieldEmbedding(config.backbone.width, tokens.candidates, name="embedding")
    slots = config.context.slots
    layer = functools.partial(SlotEmbedding, slots=slots) if slots else ModalityEmbedding
    return layer(
        config.backbone.width,
        modalities=embedding_modalities(config),
        table=tokens.table,
        places=tokens.coordinates,
        items=tokens.items,
        base=tokens.base,
        digits=tokens.digits,
        start=tokens.table_init,
        letters=_letters(tokens, words),
        subwords=tokens.subwords,
        sizes=tokens.embedding_size.chosen,
        name="embedding",
    )


def _letters(tokens, words):
    """Returns the letters of a network's words, lists of code points; `None` without words."""
    if not tokens.words:
        return None
    return TextTokenizer(words).letters(tokens.letters).tolist()


def make_heads(config):
    """Returns the heads of a config."""
    if config.tokens.candidates:
        return FieldHeads(config.tokens.candidates, name="heads")
    return ModalityHeads(**decoding(config), tied=config.tokens.tied, name="heads")


def make_refeed(config, branches):
    """Returns the layer that refeeds the blocks of a config; `None` if it is not needed.

    Tasks with `always_recurrent` rules (puzzles) have this layer under every config.
    """
    words = {name: getattr(config.refeed, name) for name in OF_RECURRENCE + OF_GRADIENTS}
    plain = all(words[name] == getattr(training_tables.RefeedTable, name) for name in OF_RECURRENCE)
    refed = trained_steps(config) > 1 or stops_positions(config)
    if plain and not refed and not rules_of(config).always_recurrent:
        return None
    return Refeed(branches, **words, seed=config.seed, name="refeed")


def make_step_limits(config):
    """Returns the `StepLimits` of a config whose positions take steps by length, or `None`."""
    if config.refeed.step_schedule != "length" or not stops_positions(config):
        return None
    refeed, grid = config.refeed, config.context.grid
    return StepLimits(refeed.steps_by_length, refeed.steps, grid, name="step_limits")


def default_options(config):
    """Returns the `CallOptions` of a network as it is built."""
    return CallOptions(is_causal(config), trained_steps(config), stops_positions(config))


def is_causal(config):
    """Returns whether the network of a config is built causal."""
    return config.train.objectives.autoregressive > 0


def make_branches(config):
    """Returns the residual blocks of the backbone, in the order in which they run."""
    backbone = config.backbone
    layout = {
        "causal": is_causal(config),
        "seed": config.seed,
        "axes": axis_names(config),
        "epsilon": backbone.norm_epsilon,
        "slab": backbone.slab,
        "remat": backbone.remat,
    }
    return make_blocks(backbone.layer, backbone.depth, backbone.width, layout)


def make_blocks(specs, depth, width, layout, above=""):
    """Returns the residual blocks of `depth` repetitions of the layers in `specs`.

    Args:
        specs: the tables of the layers.
        depth: int, number of repetitions.
        width: int, channels of the residual stream.
        layout: see `make_branch`.
        above: string, the path of the enclosing fold, ending in `/`; empty outside folds.
    """
    # Scale the last kernel of every residual block by 1 / sqrt(number of blocks), as GPT-2 does:
    # the variance of the sum at initialization does not grow with depth.
    residuals = sum(spec.residual != "none" for spec in specs) * depth
    made = []
    for block in range(depth):
        for label, spec in zip(labels(specs), specs, strict=True):
            name = f"block_{block}_{label}"
            scale = 1 / math.sqrt(residuals) if spec.residual != "none" else 1.0
            made.append(make_branch(spec, width, scale, above + name, layout))
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


def make_branch(spec, width, scale, path, layout):
    """Returns one residual block from its table of the config.

    Args:
        spec: `mdnn.config.network_tables.LayerTable`, or `FoldLayer` inside a fold or chunks.
        width: int, channels of the residual stream.
        scale: float, factor on the initial values of the block's last dense kernel.
        path: string, the block's name, preceded by the path of the enclosing fold.
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
