"""Changes config keys of a network that grows, and the keys that follow from them."""

import dataclasses
import tomllib

from mdnn.config.axis_names import with_axis_names
from mdnn.config.network_tables import NESTED
from mdnn.config.overrides import set_key
from mdnn.config.schema import dump
from mdnn.errors import MdnnError

SETTABLE = (
    "tokens.",
    "context.",
    "backbone.",
    "refeed.",
    "loss.",
    "recall.",
    "limits.",
    "train.batch_size",
    "train.optimizer.learning_rate",
    "train.optimizer.weight_decay",
    "train.optimizer.beta_",
    "train.optimizer.clip_norm",
    "train.xla",
)
"""Beginnings of the keys that may change while a network is trained."""


def grown_config(config, changes, free=False):
    """Returns the config of a larger network.

    Axes that mixers name by number keep their meaning where an axis is added. A wider stream gets a
    smaller `norm_epsilon`; refeed steps that are added get gates.

    Args:
        config: `mdnn.Config`.
        changes: strings `KEY=VALUE`.
        free: bool, whether any key may change (`mdnn.grow`), not only those of `SETTABLE`.

    Raises:
        MdnnError: an unknown key, a value that is not allowed, or a key that may not change.
    """
    table = tomllib.loads(dump(with_axis_names(config, always=True)))
    table["train"].pop("stage", None)
    keys = []
    for change in changes:
        set_key(type(config), table, change)
        keys.append(change.partition("=")[0].strip())
        if not free and not keys[-1].startswith(SETTABLE):
            raise MdnnError(
                f"{keys[-1]}: expected a key that may change while a network is trained "
                f"({', '.join(key.rstrip('._') for key in SETTABLE)})"
            )
    steps = table.get("refeed", {}).get("steps")
    if isinstance(steps, int) and steps < config.refeed.steps:
        # Before `remade`, which would name the number of gated steps.
        raise _too_small("refeed.steps", config.refeed.steps, steps)
    new = config.remade(table)
    check_larger(config, new)
    return _followed(config, new, keys)


def stage_configs(config):
    """Returns the config of each stage of a training, the first one's first.

    `[[train.stage]]` tables change keys one after another; none of the results has any.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: stages out of order, an unknown key, or one that may not change.
    """
    stages, blind = config.train.stage, config.train.method == "blind"
    if stages and blind and config.train.blind.weights == "int8":
        raise MdnnError(
            "train.stage: a larger matrix has another grid of int8 values; expected no stages with "
            "train.blind.weights = 'int8'"
        )
    plain = dataclasses.replace(config, train=dataclasses.replace(config.train, stage=()))
    configs, before = [plain], 0.0
    for number, stage in enumerate(stages):
        if not before < stage.at < 1:
            raise MdnnError(
                f"train.stage.{number}.at: expected shares of the budget above 0 and below 1, one "
                f"after another; received {stage.at} after {before}"
            )
        before = stage.at
        if not stage.changes:
            raise MdnnError(
                f"train.stage.{number}: expected keys that change from {stage.at} of the budget "
                "on, received none"
            )
        try:
            configs.append(grown_config(configs[-1], stage.changes))
        except MdnnError as error:
            raise MdnnError(f"train.stage.{number}: {error}") from None
    return configs


def check_larger(old, new):
    """Refuses a config of a network that is smaller in some way.

    Args:
        old, new: `mdnn.Config`.

    Raises:
        MdnnError: names the first key that is smaller than before.
    """
    before, after = (_sizes(one) for one in (old, new))
    for name, size in before.items():
        if name not in after:
            raise MdnnError(
                f"context.grid: growing keeps every axis, received {list(new.context.grid)} "
                f"({', '.join(after)}) without {name!r} of {size}"
            )
        if after[name] < size:
            raise MdnnError(
                f"context.grid: growing cannot shorten an axis: expected at least {size} for "
                f"{name!r}, received {list(new.context.grid)}"
            )
    for key, a, b in compared_keys(old, new):
        if b < a:
            raise _too_small(key, a, b)


def _too_small(key, least, received):
    return MdnnError(f"{key}: growing keeps at least {least}, received {received}")


def _sizes(config):
    return dict(zip(config.context.axis_names, config.context.grid, strict=True))


def compared_keys(old, new):
    """Returns the sizes that two configs of a network have besides the grid.

    Args:
        old, new: `mdnn.Config`.

    Returns:
        List of tuples of a key, its value in `old` and its value in `new`.
    """
    pairs = [("backbone.depth", old.backbone.depth, new.backbone.depth)]
    pairs += [("backbone.width", old.backbone.width, new.backbone.width)]
    pairs += [("refeed.steps", old.refeed.steps, new.refeed.steps)]
    sizes = [one.tokens.embedding_size.chosen for one in (old, new)]
    for name in {**sizes[0], **sizes[1]}:
        pairs.append((f"tokens.embedding_size.{name}", *(one.get(name, 0) for one in sizes)))
    for number, (a, b) in enumerate(zip(old.backbone.layer, new.backbone.layer, strict=False)):
        where = f"backbone.layer.{number}"
        widths = inner_width(a, old.backbone.width), inner_width(b, new.backbone.width)
        pairs += [(f"{where}.width", *widths), (f"{where}.depth", a.depth, b.depth)]
    return pairs


def shrunk_config(config, changes):
    """Returns the config of a smaller network.

    Args:
        config: `mdnn.Config`.
        changes: strings `KEY=VALUE`: shorter or missing axes of `context.grid`, fewer blocks,
            narrower layers, fewer groups of kernels.

    Raises:
        MdnnError: an unknown key, a value that is not allowed, or one that makes something larger.
    """
    table = tomllib.loads(dump(with_axis_names(config, always=True)))
    table["train"].pop("stage", None)
    keys = []
    for change in changes:
        set_key(type(config), table, change)
        keys.append(change.partition("=")[0].strip())
        if ".layer." in change:
            # Densities are shares of the widths that were trained.
            table["train"].pop("density", None)
    refeed = table.get("refeed", {})
    steps = refeed.get("steps")
    if isinstance(steps, int) and "refeed.gated_steps" not in keys:
        # The steps with a gate are the last ones, which go first.
        removed = max(0, config.refeed.steps - steps)
        refeed["gated_steps"] = max(0, config.refeed.gated_steps - removed)
    new = config.remade(table)
    before, after = _sizes(config), _sizes(new)
    for name, size in after.items():
        if size > before.get(name, 1):
            raise MdnnError(
                f"context.grid: shrinking cannot lengthen an axis: expected at most "
                f"{before.get(name, 1)} for {name!r}, received {size}"
            )
    for key, a, b in compared_keys(config, new):
        if b > a:
            raise MdnnError(f"{key}: shrinking cannot enlarge: expected at most {a}, received {b}")
    if new.backbone.width != config.backbone.width:
        raise MdnnError(
            "backbone.width: shrinking keeps the stream's width, since norms take the mean over "
            f"all channels; expected {config.backbone.width}, received {new.backbone.width}"
        )
    return new


def inner_width(layer, width):
    """Returns the channels inside a layer, which `width = 0` leaves to the stream.

    Args:
        layer: table of a layer.
        width: int, channels of the stream.
    """
    return layer.width or width * (2 if layer.kind == "feedforward" else 1)


def _followed(old, new, keys):
    """Returns the new config with the keys that follow from a wider stream or more steps."""
    before, after = old.backbone, new.backbone
    layers = []
    for number, layer in enumerate(after.layer):
        if layer.kind in NESTED and number < len(before.layer):
            width = before.layer[number].width
            epsilon = before.layer[number].norm_epsilon
            if f"backbone.layer.{number}.norm_epsilon" not in keys and width:
                layer = dataclasses.replace(layer, norm_epsilon=epsilon * width / layer.width)
        layers.append(layer)
    after = dataclasses.replace(after, layer=tuple(layers))
    if "backbone.norm_epsilon" not in keys:
        epsilon = before.norm_epsilon * before.width / after.width
        after = dataclasses.replace(after, norm_epsilon=epsilon)
    new = dataclasses.replace(new, backbone=after)
    added = new.refeed.steps - old.refeed.steps
    if added > 0 and "refeed.gated_steps" not in keys:
        refeed = dataclasses.replace(new.refeed, gated_steps=old.refeed.gated_steps + added)
        new = dataclasses.replace(new, refeed=refeed)
    # Parsed again, so that the keys derived above are checked, too.
    return new.remade(tomllib.loads(new.to_toml()))
