"""From a config to a functional keras.Model."""

import dataclasses
import math

import keras
from keras import layers

from mdnn.errors import MdnnError
from mdnn.layers import FieldEmbedding, FieldHeads, ModalityEmbedding, ModalityHeads
from mdnn.models.branches import FeedForwardBranch, LinearBranch, make_norm
from mdnn.models.echo import Echo
from mdnn.models.folding import FoldBranch
from mdnn.models.halting import HaltHead
from mdnn.models.limits import at_most
from mdnn.models.mixing import MixBranch
from mdnn.models.network_tables import Inner
from mdnn.models.refeeding import Refeed
from mdnn.models.vocabulary import decoding, embedding_modalities
from mdnn.tokens import WIDTH, TextCodec

# The words of `[refeed]` that the layer itself knows; training knows the others.
OF_LAYER = ("steps", "backprop", "start", "remat", "inner", "damping", "noise", "what")


def build(config, words=(), most=None):
    """Builds the network of a config.

    Tokens are embedded, laid out as a grid, mixed by the backbone's branches (refed where the
    config says so), and scored by the heads.

    Args:
        config: `mdnn.Config`, as `mdnn.load_config` gives it.
        words: the table of words (strings), for configs with `tokens.words` above 0; training
            makes it from its text (`mdnn.tokens.word_table`).
        most: int, weights that the network may have, where that is less than
            `limits.parameters`.

    Returns:
        A functional `keras.Model`. Its inputs are a dict: `tokens`, int32 `[batch, slots, 8]`,
        and `targets`, the units that answer
        them, of the same shape (`None` where they are not known: bytes are then conditioned on the
        likeliest earlier bytes). Its output is float32
        `[batch, slots, classes]`, the scores of `decoding_steps`. Weights start from
        `config.seed`. Where writing in turn is trained no slot sees the ones after it; elsewhere
        every slot sees the whole context. `mdnn.models.variants` makes the other of the two.

    Raises:
        MdnnError: words are asked for and not given, the layers refuse the config, the network
            has more weights than `limits.parameters` (told before they are made), or it does not
            fit in memory.
    """
    if len(words) == 0 and config.tokens.words:
        raise MdnnError("tokens.words: the table of words comes from training text; pass words=")
    keras.utils.set_random_seed(config.seed)
    try:
        with at_most(min(config.limits.parameters, most or config.limits.parameters)):
            return _build(config, tuple(words))
    except MdnnError:
        raise
    except Exception as error:
        message = str(error).splitlines()[0]
        # Each backend has an error of its own for a tensor that is too large.
        large = ("OOM", "RESOURCE_EXHAUSTED", "Out of memory", "2**63", "2 ** 64")
        if isinstance(error, MemoryError) or any(word in message for word in large):
            raise MdnnError(
                f"this network does not fit in memory: grid {list(config.context.grid)}, width "
                f"{config.backbone.width}"
            ) from None
        if not isinstance(error, ValueError):
            raise
        raise MdnnError(f"this network cannot be built: {message}") from None


def _build(config, words):
    context, width = config.context, config.backbone.width
    fields = config.tokens.fields
    slots = context.slots
    grid = (fields,) * (fields > 0) + context.grid
    causal = is_causal(config)

    # Layers
    embedding = make_embedding(config, words)
    to_grid = layers.Reshape((*grid, width), name="grid")
    branches = make_branches(config)
    final_norm = make_norm(config.backbone.final_norm, "final_norm")
    to_slots = layers.Reshape((max(1, fields) * slots, width), name="slots")
    heads = make_heads(config)
    halt = HaltHead(name="halt") if config.refeed.rule == "halt" else None

    # Functional call
    tokens = keras.Input((slots, WIDTH), dtype="int32", name="tokens")
    targets = keras.Input((slots, WIDTH), dtype="int32", name="targets", optional=True)
    x = to_grid(embedding(tokens))
    refeed = make_refeed(config, branches)
    if refeed is not None:
        if refeed.what != "state":
            if final_norm is not None:
                final_norm.build(x.shape)
            heads.build((None, slots, width))
            refeed.echo = Echo(final_norm, heads, embedding)
        x = refeed(x, causal=causal)
    else:
        for branch in branches:
            x = branch(x, causal=causal)
    if final_norm is not None:
        x = final_norm(x)
    x = to_slots(x)
    if halt is not None:
        x = halt(x)
    return keras.Model({"tokens": tokens, "targets": targets}, heads(x, targets), name="mdnn")


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
