"""Builds the layers of a network from its config."""

import contextlib
import dataclasses
import functools

from keras import layers

from mdnn.config import training_tables
from mdnn.config.axis_names import axis_names
from mdnn.config.refeed_rules import stops_positions, trained_steps
from mdnn.config.task_rules import rules_of
from mdnn.layers import FieldEmbedding, FieldHeads, ModalityEmbedding, ModalityHeads
from mdnn.layers.weight_rules import applied, seeded
from mdnn.models.blocks.block_builder import make_blocks
from mdnn.models.blocks.residual_block import make_norm
from mdnn.models.call_options import CallOptions
from mdnn.models.head_options import decoding, embedding_modalities
from mdnn.models.parameter_limit import at_most
from mdnn.models.slot_embedding import SlotEmbedding
from mdnn.models.thinking.answer_feedback import AnswerFeedback
from mdnn.models.thinking.halting import HaltHead, HaltingPositions
from mdnn.models.thinking.recurrence import Refeed
from mdnn.models.thinking.step_limits import StepLimits
from mdnn.tokens import NUM_FEATURES, TextTokenizer

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
    embedding.build((None, context.positions, NUM_FEATURES))
    blocks = backbone_blocks(config)
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
        refeed.answer_feedback = AnswerFeedback(final_norm, heads, embedding)
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


def make_refeed(config, blocks):
    """Returns the layer that refeeds the blocks of a config; `None` if it is not needed.

    Tasks with `always_recurrent` rules (puzzles) have this layer under every config.
    """
    words = {name: getattr(config.refeed, name) for name in OF_RECURRENCE + OF_GRADIENTS}
    plain = all(words[name] == getattr(training_tables.RefeedTable, name) for name in OF_RECURRENCE)
    refed = trained_steps(config) > 1 or stops_positions(config)
    if plain and not refed and not rules_of(config).always_recurrent:
        return None
    return Refeed(blocks, **words, seed=config.seed, name="refeed")


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


def backbone_blocks(config):
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
