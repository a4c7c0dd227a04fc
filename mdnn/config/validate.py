"""What no single key of a config can tell: keys that do not go together."""

import dataclasses
import math

from mdnn.config.fixed_keys import NOT_OF_STREAMS, check_fixed
from mdnn.config.puzzle_rules import check_no_puzzle, check_puzzle
from mdnn.config.refeed_rules import check_refeed
from mdnn.config.schema import nearest
from mdnn.errors import MdnnError
from mdnn.text_encodings import check_encoding
from mdnn.tokens.features import MODALITIES, UNITS


def check(config):
    """Refuses a config whose keys do not go together.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: the first key that does not go with the others.
    """
    check_encoding(config.data.encoding)
    _check_context(config)
    _check_train(config)
    check_refeed(config)
    if config.context.layout == "puzzle":
        check_puzzle(config)
    else:
        check_no_puzzle(config)
        _check_modalities(config.tokens)
        _check_layout(config)
    _check_tokens(config.tokens)
    _check_loss(config)
    if not config.backbone.layer:
        raise MdnnError("backbone.layer: expected at least one branch, received none")
    for number, branch in enumerate(config.backbone.layer):
        _check_branch(f"backbone.layer.{number}", branch, config)
    _check_limits(config)


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
        raise MdnnError("train: expected one of train.minutes and train.steps")
    if train.sample and not train.prompt:
        raise MdnnError("train.prompt: expected at least one character, or train.sample = 0")
    if not (train.objectives.autoregressive or train.objectives.whole):
        raise MdnnError(
            "train.objectives: expected one of autoregressive, parallel and masked_diffusion "
            "above 0"
        )


def _check_modalities(tokens):
    names = tokens.modalities
    for number, name in enumerate(names):
        if name in (row.name for row in MODALITIES) and name not in UNITS:
            raise MdnnError(
                f"tokens.modalities: {name!r} is no unit of an item; it is added where the other "
                f"keys ask for it; known: {', '.join(UNITS)}"
            )
        if name not in UNITS:
            raise MdnnError(
                f"tokens.modalities: unknown modality {name!r}{nearest(name, UNITS)}; "
                f"known: {', '.join(UNITS)}"
            )
        if name in names[:number]:
            raise MdnnError(f"tokens.modalities: expected {name!r} once, received it twice")
    if not names:
        raise MdnnError("tokens.modalities: expected at least one, received none")
    if ("word" in names) != bool(tokens.words):
        raise MdnnError(
            "tokens: the modality 'word' and tokens.words above 0 belong together, received "
            f"{list(names)} and words = {tokens.words}"
        )
    if "word" in names and "text" not in names:
        raise MdnnError(
            "tokens.modalities: expected text beside word, for what is not in the table of "
            f"words; received {list(names)}"
        )


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


def _check_layout(config):
    tokens, context = config.tokens, config.context
    if context.layout == "stream":
        if others := [name for name in tokens.modalities if name not in ("text", "word")]:
            raise MdnnError(
                f"context.layout: a stream holds text and words, received {others[0]!r} in "
                "tokens.modalities; take layout = 'items'"
            )
        why = "; it belongs to context.layout = 'items'"
        check_fixed(config, NOT_OF_STREAMS, " in a stream", why)
        return
    # A place is below the positions of one context, and so is told exactly.
    if (
        tokens.coordinates or tokens.answer_coordinates
    ) and tokens.base**tokens.digits < context.positions:
        raise MdnnError(
            f"tokens.digits: {tokens.digits} digits of base {tokens.base} tell "
            f"{tokens.base**tokens.digits} places apart, expected at least the context's "
            f"{context.positions} positions"
        )


def _check_limits(config):
    """Refuses what would fill the machine before the builder could count it."""
    context, backbone, limits = config.context, config.backbone, config.limits
    if (positions := context.positions) > limits.positions:
        raise MdnnError(
            f"limits.positions: expected at most {limits.positions:,} positions in a grid, "
            f"received {_number(positions)}; raise the limit if that is meant"
        )
    one = sum(
        branch.stack * branch.times + branch.depth * len(branch.block) for branch in backbone.layer
    )
    if (
        branches := config.refeed.steps * (1 + config.refeed.inner_steps) * backbone.depth * one
    ) > limits.layers:
        raise MdnnError(
            f"limits.layers: expected at most {limits.layers:,} branches in a pass "
            "(refeed.steps and inner, backbone.depth, stack, times, a fold's depth), received "
            f"{_number(branches)}; raise the limit if that is meant"
        )
    for branch in backbone.layer:
        sizes = (*(config.tokens.candidates,) * (config.tokens.candidates > 0), *context.grid)
        _check_matrices(branch.mixer, sizes, backbone.width, limits)
        for inner in branch.block:
            _check_matrices(inner.mixer, context.grid[:-1], branch.width, limits)


def _check_matrices(mixers, sizes, width, limits):
    """Refuses mixers whose matrices alone would have too many weights, live or not."""
    for mixer in mixers:
        largest = max((*sizes, width) if -1 in mixer.axes else sizes)
        weights = largest * largest
        if mixer.kind == "dense" and mixer.sharing == "separate":
            weights = math.prod(sizes) * width * largest
        elif mixer.kind == "dense" and mixer.sharing == "groups":
            weights *= mixer.groups
        if mixer.kind in ("dense", "attention") and weights > limits.parameters:
            raise MdnnError(
                f"limits.parameters: expected at most {limits.parameters:,} weights, received "
                f"{_number(weights)} in the matrices of one mixer on the grid {list(sizes)[:9]}; "
                "raise the limit if that is meant"
            )


def _number(value):
    """A whole number for an error, however large."""
    return f"{value:,}" if value < 10**18 else f"more than {10**18:,}"


def _check_loss(config):
    weights = dataclasses.asdict(config.loss.modality)
    if not any(weights[name] for name in config.tokens.modalities):
        raise MdnnError("loss.modality: expected a weight above 0 for one of tokens.modalities")
    steps = dataclasses.asdict(config.loss.step)
    if not any(steps[name] for name in ("modality", "byte_1", "byte_2", "byte_3")):
        raise MdnnError("loss.step: expected a weight above 0 for modality or a byte")


# Keys of a branch that say nothing of a kind, with the value that they have to keep.
NOT_OF_FOLDS = (("stack", 1), ("times", 1), ("gate", "none"), ("activation", "none"))
OF_FOLDS = (("block", ()), ("depth", 1))


def _check_branch(where, branch, config):
    context, width = config.context, config.backbone.width
    others = NOT_OF_FOLDS if branch.kind == "fold" else OF_FOLDS
    for name, value in others:
        if getattr(branch, name) != value:
            kind = "no fold" if branch.kind == "fold" else "a fold alone"
            raise MdnnError(f"{where}.{name}: a key of {kind}, received kind = {branch.kind!r}")
    axes = len(context.grid) + (config.tokens.candidates > 0)
    _check_mixers(where, branch, axes, width, config)
    if branch.kind == "mix" and branch.gate != "none" and not branch.project:
        raise MdnnError(f"{where}: a gate needs project = true")
    if branch.kind != "fold":
        return
    if len(context.grid) < 2:
        raise MdnnError(
            f"{where}.kind: a fold needs a context.grid of at least two axes, one to fold and one "
            f"to mix, received {list(context.grid)}"
        )
    for name in ("width", "block"):
        if not getattr(branch, name):
            need = "channels of a folded row" if name == "width" else "branches for its rows"
            raise MdnnError(f"{where}.{name}: a fold needs {need}, received none")
    for number, inner in enumerate(branch.block):
        here = f"{where}.block.{number}"
        _check_mixers(here, inner, len(context.grid) - 1, branch.width, config)


def _check_mixers(where, branch, axes, width, config):
    """Checks the mixers of a branch of a stream of `width` channels on so many context axes."""
    if (branch.kind == "mix") != bool(branch.mixer):
        raise MdnnError(
            f"{where}: kind = 'mix' and a list of mixers belong together, received "
            f"kind = {branch.kind!r} and {len(branch.mixer)} mixers"
        )
    for number, mixer in enumerate(branch.mixer):
        here = f"{where}.mixer.{number}"
        _check_axes(here, mixer, axes, config)
        channels = "backbone.width" if width == config.backbone.width else "the fold's width"
        if width % mixer.groups:
            raise MdnnError(
                f"{here}.groups: expected a divisor of {channels} = {width}, "
                f"received {mixer.groups}"
            )
        if mixer.kind == "attention" and width % mixer.heads:
            raise MdnnError(
                f"{here}.heads: expected a divisor of {channels} = {width}, received {mixer.heads}"
            )


def _check_axes(here, mixer, axes, config):
    causal = mixer.axes == (-1,) or ("causal" in mixer.wiring.split("+") and mixer.kind != "mean")
    if config.train.objectives.autoregressive and not causal:
        raise MdnnError(
            f"{here}.wiring: a network that predicts the next unit needs 'causal' wiring on "
            f"context axes, received {mixer.wiring!r}; or train.objectives.autoregressive = 0"
        )
    for axis in mixer.axes:
        if not -1 <= axis <= axes or axis == 0:
            raise MdnnError(
                f"{here}.axes: expected numbers from 1 to {axes} (context axes) or -1 (channels), "
                f"received {axis}"
            )
    if mixer.kind not in ("dense", "mean") and len(mixer.axes or range(axes)) != 1:
        raise MdnnError(
            f"{here}.axes: {mixer.kind} mixes one axis, received "
            f"{list(mixer.axes) or list(range(1, axes + 1))}"
        )
    if -1 in mixer.axes and (len(mixer.axes) > 1 or mixer.sharing == "groups"):
        raise MdnnError(
            f"{here}.axes: the channels are mixed by a mixer of their own (axes = [-1], "
            f"sharing = 'shared' or 'separate'), received axes = {list(mixer.axes)}, "
            f"sharing = {mixer.sharing!r}"
        )
    if mixer.kind in ("conv", "local") and mixer.window is None:
        raise MdnnError(f"{here}.window: {mixer.kind} needs a window")
    if mixer.kind != "dense" and mixer.axes == (-1,):
        raise MdnnError(f"{here}.axes: {mixer.kind} mixes a context axis, received -1")
