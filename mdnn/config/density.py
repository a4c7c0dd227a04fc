"""Densities of a network: the same config with narrower layers inside its blocks.

At density d a `feedforward` layer has d times its hidden width, and a `mix` layer d times the
channels between its dense layers, with the kernels and heads of these channels alone. The stream,
the embedding, the norms and the heads stay as they are. Widths are multiples of `STEP`, so that
products stay fast, and split no group of channels and no attention head.
"""

import dataclasses
import itertools
import tomllib

from mdnn.config.growing import inner_width
from mdnn.errors import MdnnError

STEP = 16
"""Inner widths are multiples of this number."""


def narrowed_config(config, density):
    """Returns the config of a network at a density.

    Args:
        config: `mdnn.Config`.
        density: float above 0, at most 1.

    Returns:
        `mdnn.Config`, without densities and stages of its own.
    """
    backbone, train = config.backbone, dataclasses.replace(config.train, density=(), stage=())
    if density < 1:
        layers = [_narrowed(layer, backbone.width, density) for layer in backbone.layer]
        backbone = dataclasses.replace(backbone, layer=tuple(layers))
    config = dataclasses.replace(config, backbone=backbone, train=train)
    return config.remade(tomllib.loads(config.to_toml()))


def _narrowed(layer, width, density):
    """Returns a layer's table with a share of its inner width; `width` is that of its input."""
    if layer.kind == "fold":
        block = tuple(_narrowed(inner, layer.width, density) for inner in layer.block)
        return dataclasses.replace(layer, block=block)
    if layer.kind in ("linear", "ngrams") or not getattr(layer, "project", True):
        return layer
    inner = inner_width(layer, width)
    options = {}
    for narrow in {*range(STEP, inner, STEP), inner}:
        mixers = [mixer.narrowed(inner, narrow) for mixer in layer.mixer]
        if None not in mixers:
            options[narrow] = tuple(mixers)
    # The nearest width; of two equally near ones the larger.
    narrow = min(options, key=lambda one: (abs(one - density * inner), -one))
    return dataclasses.replace(layer, width=narrow, mixer=options[narrow])


def check_densities(config):
    """Refuses densities that are out of order, or that make no difference.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: names the first wrong one.
    """
    densities = config.train.density
    if not densities:
        return
    if config.tandem.members:
        raise MdnnError("train.density: expected [] with tandem.members")
    ascending = all(a < b for a, b in itertools.pairwise(densities))
    if not ascending or densities[-1] != 1 or len(densities) < 2:
        raise MdnnError(
            "train.density: expected several densities, ascending up to 1, such as "
            f"[0.25, 0.5, 1.0]; received {list(densities)}"
        )
    for a, b in itertools.pairwise(densities):
        layers = [narrowed_config(config, density).backbone.layer for density in (a, b)]
        if inner_widths(layers[0], config) == inner_widths(layers[1], config):
            raise MdnnError(
                f"train.density: at {a:g} this network has the same widths as at {b:g}: they are "
                f"multiples of {STEP} that split no group of channels"
            )


def inner_widths(layers, config):
    """Returns the inner widths of tables of layers, those inside folds among them, a list."""
    found = []
    for layer in layers:
        found.append(inner_width(layer, config.backbone.width))
        found += [inner_width(inner, layer.width) for inner in layer.block]
    return found


def check_density(config, density):
    """Returns a density as a float.

    Args:
        config: `mdnn.Config` of a network.
        density: number.

    Raises:
        MdnnError: no density that the network was trained with.
    """
    trained = config.train.density or (1.0,)
    is_number = isinstance(density, (int, float)) and not isinstance(density, bool)
    if not is_number or density not in trained:
        known = ", ".join(f"{one:g}" for one in trained)
        hint = "" if config.train.density else " (train.density trains others)"
        raise MdnnError(
            f"density: this network was trained with {known}{hint}; received {density!r}"
        )
    return float(density)


def density_argument(text):
    """Returns a density of the command line: a number, or the word as it is."""
    try:
        return float(text)
    except ValueError:
        return text
