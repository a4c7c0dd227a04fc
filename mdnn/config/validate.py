"""Checks that the keys of a config are compatible with each other."""

import dataclasses

from mdnn.config import built_in_tasks, recall_rules  # noqa: F401 - register the tasks' rules
from mdnn.config.axis_names import check_names
from mdnn.config.embedding_table import check_embedding_sizes
from mdnn.config.key_rules import OF_CHARACTERS, check_idle_keys, check_layer_keys
from mdnn.config.mesh_table import check_mesh
from mdnn.config.network_tables import NESTED
from mdnn.config.refeed_rules import check_refeed, trained_steps
from mdnn.config.tandem_tables import check_tandem
from mdnn.config.task_rules import RULES, check_task, rules_of
from mdnn.errors import MdnnError, did_you_mean
from mdnn.text_encodings import check_encoding
from mdnn.tokens.modalities import MODALITIES, load_modalities


def check(config):
    """Refuses a config with incompatible keys.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first incompatible key.
    """
    rules_of(config)
    check_encoding(config.data.encoding)
    _check_context(config)
    _check_train(config)
    check_refeed(config)
    check_tandem(config, rules_of(config).always_recurrent)
    _check_modalities(config.tokens)
    check_task(config)
    _check_tokens(config.tokens)
    check_embedding_sizes(config.tokens)
    check_idle_keys(config)
    _check_loss(config)
    if not config.backbone.layer:
        raise MdnnError("backbone.layer: expected at least one layer, received none")
    check_names("backbone.layer", config.backbone.layer)
    for number, layer in enumerate(config.backbone.layer):
        check_names(f"backbone.layer.{number}.block", layer.block)
        _check_layer(f"backbone.layer.{number}", layer, config)
    _check_limits(config)
    check_mesh(config)


def _check_context(config):
    context = config.context
    if not context.grid:
        raise MdnnError("context.grid: expected at least one axis, received []")
    if context.pad_to_multiple_of > context.positions:
        raise MdnnError(
            f"context.pad_to_multiple_of: expected at most the context's {context.positions} "
            "positions, received "
            f"{context.pad_to_multiple_of}"
        )


def _check_train(config):
    train = config.train
    if (train.minutes is None) == (train.steps is None):
        received = "neither" if train.minutes is None else "both"
        raise MdnnError(
            f"train: expected one of train.minutes and train.steps, received {received}"
        )
    if train.sample and not train.prompt:
        raise MdnnError("train.prompt: expected at least one character, or train.sample = 0")
    if not (train.objectives.autoregressive or train.objectives.whole):
        raise MdnnError(
            "train.objectives: expected one of autoregressive, parallel and masked_diffusion "
            "above 0"
        )
    if train.method == "blind":
        _check_blind(config)
    if train.partial.select != "all":
        _check_partial(config)
    if train.density and config.refeed.supervision_steps > 1:
        raise MdnnError(
            "train.density: carried states are those of one width; expected "
            f"refeed.supervision_steps = 1, received {config.refeed.supervision_steps}"
        )


def _check_partial(config):
    """Refuses options that training a part of the weights at a time does not support."""
    train, depth = config.train, config.backbone.depth
    spec, where = train.partial, f"train.partial.select = {train.partial.select!r}"
    fits = spec.blocks < depth and (spec.select == "top" or depth % spec.blocks == 0)
    if not fits:
        kind = "a number" if spec.select == "top" else "a divisor"
        raise MdnnError(
            f"train.partial.blocks: expected {kind} below backbone.depth = {depth}, received "
            f"{spec.blocks}"
        )
    for key, value, expected in (
        ("train.density", list(train.density), []),
        ("train.stage", list(train.stage), []),
        ("train.ema_decay", train.ema_decay, 0),
        ("train.method", train.method, "gradient"),
        ("refeed.supervision_steps", config.refeed.supervision_steps, 1),
        ("tandem.members", config.tandem.members, 0),
    ):
        if value != expected:
            raise MdnnError(f"{key}: expected {expected!r} with {where}")


def _check_blind(config):
    """Refuses options that training without backpropagation does not support."""
    train = config.train
    if train.density:
        raise MdnnError("train.density: expected [] with train.method = 'blind'")
    if train.precision == "float16":
        raise MdnnError(
            "train.precision: expected 'float32', 'bfloat16' or 'auto' with train.method = "
            "'blind', received 'float16'"
        )
    if config.refeed.supervision_steps > 1:
        raise MdnnError(
            "refeed.supervision_steps: expected 1 with train.method = 'blind', received "
            f"{config.refeed.supervision_steps}"
        )
    if train.blind.weights == "int8" and train.ema_decay:
        raise MdnnError(
            "train.ema_decay: int8 weights cannot be averaged; expected 0 with "
            f"train.blind.weights = 'int8', received {train.ema_decay}"
        )


def _check_modalities(tokens):
    names = tokens.modalities
    load_modalities(names)
    known = tuple(dict.fromkeys(name for rules in RULES.values() for name in rules.allowed))
    for number, name in enumerate(names):
        if name in MODALITIES and name not in known:
            raise MdnnError(
                f"tokens.modalities: {name!r} is not part of items; it is added where the other "
                f"keys need it; known: {', '.join(known)}"
            )
        if name not in known:
            raise MdnnError(
                f"tokens.modalities: unknown modality {name!r}{did_you_mean(name, known)}; "
                f"known: {', '.join(known)}"
            )
        if name in names[:number]:
            raise MdnnError(f"tokens.modalities: expected {name!r} once, received it twice")
    if not names:
        raise MdnnError("tokens.modalities: expected at least one, received none")
    for each in MODALITIES.values():
        each.check_config(tokens)


def _check_tokens(tokens):
    if tokens.table != "bits":
        return
    if tokens.heads == "full":
        raise MdnnError(
            "tokens.heads: tokens.table = 'bits' answers in bits and has no heads, received 'full'"
        )
    if tokens.table_init == "ordered":
        raise MdnnError(
            "tokens.table_init: tokens.table = 'bits' has no tables to start, received 'ordered'"
        )


def _check_limits(config):
    """Refuses sizes that would exhaust the machine before the builder can count the weights."""
    context, backbone, limits = config.context, config.backbone, config.limits
    if (positions := context.positions) > limits.positions:
        raise MdnnError(
            f"limits.positions: expected at most {limits.positions:,} positions in a grid, "
            f"received {_number(positions)}; raise the limit if this is intended"
        )
    one = sum(
        layer.stack * layer.times + layer.depth * len(layer.block) for layer in backbone.layer
    )
    if (
        layers := trained_steps(config) * (1 + config.refeed.inner_steps) * backbone.depth * one
    ) > limits.layers:
        raise MdnnError(
            f"limits.layers: expected at most {limits.layers:,} layers in a pass "
            "(refeed.steps, refeed.inner_steps, backbone.depth, stack, times, a fold's depth), "
            f"received {_number(layers)}; raise the limit if this is intended"
        )
    for layer in backbone.layer:
        sizes = (*(config.tokens.candidates,) * (config.tokens.candidates > 0), *context.grid)
        _check_matrices(layer.mixer, sizes, layer.width or backbone.width, limits)
        rows = context.grid[:-1]
        if layer.kind == "chunks":
            rows = (-(-context.positions // layer.shortest),)
        for inner in layer.block:
            _check_matrices(inner.mixer, rows, inner.width or layer.width, limits)


def _check_matrices(mixers, sizes, width, limits):
    """Refuses mixers whose matrices, including unused entries, exceed `limits.parameters`."""
    for mixer in mixers:
        weights = mixer.largest_matrix(sizes, width)
        if weights > limits.parameters:
            raise MdnnError(
                f"limits.parameters: expected at most {limits.parameters:,} weights, received "
                f"{_number(weights)} in the matrices of one mixer on the grid {list(sizes)[:9]}; "
                "raise the limit if this is intended"
            )


def _number(value):
    """Formats an integer of any size for an error."""
    return f"{value:,}" if value < 10**18 else f"more than {10**18:,}"


def _check_loss(config):
    weights = dataclasses.asdict(config.loss.modality)
    if not any(weights.get(name, 1.0) for name in config.tokens.modalities):
        raise MdnnError("loss.modality: expected a weight above 0 for one of tokens.modalities")
    steps = dataclasses.asdict(config.loss.step)
    if not any(steps[name] for name in ("modality", "byte_1", "byte_2", "byte_3")):
        raise MdnnError("loss.step: expected a weight above 0 for modality or a byte")


def _check_layer(where, layer, config):
    context, width = config.context, config.backbone.width
    nested = layer.kind in NESTED
    check_layer_keys(where, layer)
    axes = len(context.grid) + (config.tokens.candidates > 0)
    _check_mixers(where, layer, axes, width, config)
    if layer.kind == "mix" and layer.gate != "none" and not layer.project:
        raise MdnnError(f"{where}: a gate needs project = true")
    if layer.kind in OF_CHARACTERS:
        OF_CHARACTERS[layer.kind](where, layer, config)
    if not nested:
        return
    if layer.kind == "fold" and len(context.grid) < 2:
        raise MdnnError(
            f"{where}.kind: a fold needs a context.grid of at least two axes, one to fold and one "
            f"to mix, received {list(context.grid)}"
        )
    for name in ("width", "block"):
        if not getattr(layer, name):
            need = "channels of a folded row" if name == "width" else "layers for its rows"
            if layer.kind == "chunks":
                need = "channels of a chunk" if name == "width" else "layers for its chunks"
                raise MdnnError(f"{where}.{name}: chunks need {need}, received none")
            raise MdnnError(f"{where}.{name}: a fold needs {need}, received none")
    for number, inner in enumerate(layer.block):
        here = f"{where}.block.{number}"
        check_layer_keys(here, inner)
        axes = 1 if layer.kind == "chunks" else len(context.grid) - 1
        _check_mixers(here, inner, axes, layer.width, config, layer.kind)


def _check_mixers(where, layer, axes, width, config, kind="fold"):
    """Checks the mixers of a layer with `width` channels on a number of context axes."""
    if (layer.kind == "mix") != bool(layer.mixer):
        raise MdnnError(
            f"{where}: kind = 'mix' and a list of mixers belong together, received "
            f"kind = {layer.kind!r} and {len(layer.mixer)} mixers"
        )
    channels = "the chunks' width" if kind == "chunks" else "the fold's width"
    if width == config.backbone.width:
        channels = "backbone.width"
    if layer.kind == "mix" and layer.width:
        if not getattr(layer, "project", True):
            raise MdnnError(f"{where}.width: channels between two dense layers need project = true")
        width, channels = layer.width, f"{where}.width"
    for number, mixer in enumerate(layer.mixer):
        here = f"{where}.mixer.{number}"
        if config.train.objectives.autoregressive and not mixer.is_causal:
            key = "wiring" if hasattr(mixer, "wiring") else "kind"
            raise MdnnError(
                f"{here}.{key}: a network that predicts the next token needs 'causal' wiring on "
                f"context axes, received {getattr(mixer, key)!r}; or "
                "train.objectives.autoregressive = 0"
            )
        mixer.check(here, axes, width, channels)
