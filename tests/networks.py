"""Small networks for tests of models."""

from pathlib import Path

import numpy as np

from mdnn import load_config
from mdnn.config.load import Config
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.thinking.recurrence import Refeed

CONFIGS = Path(__file__).parents[1] / "configs"
# A puzzle says what its grid is; tests/puzzle_networks.py has small ones.
SHIPPED = sorted(
    path.stem for path in CONFIGS.glob("*.toml") if load_config(path).context.layout != "puzzle"
)


def tiny(name, *settings):
    """A shipped config, made as small as its branches allow."""
    config = load_config(CONFIGS / f"{name}.toml")
    grid = {1: "[5]", 2: "[2, 3]", 3: "[2, 2, 2]"}[len(config.context.grid)]
    small = [f"context.grid={grid}", "backbone.width=8", "train.batch_size=4"]
    small += [f"backbone.depth={min(2, config.backbone.depth)}"]
    small += [f"refeed.steps={min(2, config.refeed.steps)}"]
    small += ["context.pad_to_multiple_of=1"]
    # A sentence of a needle is longer than these contexts.
    pairs = ["recall.kind=pairs", "recall.pairs=1", "train.stage=[]"]
    small += pairs * (config.context.layout == "recall")
    for number, branch in enumerate(config.backbone.layer):
        here = f"backbone.layer.{number}"
        inner = [(f"{here}.block.{k}", step) for k, step in enumerate(branch.block)]
        for where, step in [(here, branch), *inner]:
            small += [f"{where}.width=12"] * (step.width > 0)
            if step.kind == "chunks":
                small += [f"{where}.shortest=2", f"{where}.longest=3"]
            for k, mixer in enumerate(step.mixer):
                small += [f"{where}.mixer.{k}.groups=2"] * (getattr(mixer, "groups", 1) > 1)
                small += [f"{where}.mixer.{k}.stored=1"] * (mixer.kind == "stored")
    return load_config(CONFIGS / f"{name}.toml", [*small, *settings])


def make_config(*branches, grid=(4,), width=4, depth=1, **tables):
    """A `Config` of branches given as dicts (see `mix`)."""
    backbone = {"width": width, "depth": depth, "layer": list(branches)}
    table = {"backbone": backbone, "context": {"grid": list(grid)}, "train": {"steps": 1}}
    return Config.from_dict({**table, **tables})


def mix(*mixers, **branch):
    """The table of a branch that mixes; mixers as dicts."""
    return {"kind": "mix", "mixer": list(mixers), **branch}


def text_tokens(shape, seed=0):
    """Token rows `[*shape, 8]` of random letters, their places counted."""
    tokens = np.zeros((*shape, 8), "int32")
    tokens[..., 0] = 1
    tokens[..., 3] = np.random.default_rng(seed).integers(97, 123, size=shape)
    tokens[..., 4] = np.arange(shape[-1])
    return tokens


def make_refeed(shape, steps, **settings):
    """A built `Refeed` of two branches, for states of a shape, with random weights."""
    branches = [
        LinearBlock("tanh", norm="none", residual="none", name="first"),
        FeedForwardBlock(5, activation="tanh", norm="none", name="second"),
    ]
    layer = Refeed(branches, steps, **settings)
    layer.build((None, *shape))
    return randomize(layer)


def normal(*shape, seed=5):
    """Normal numbers, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer, seed=0):
    """Gives all weights of a layer or model values far from zero; returns it."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) / 2)
    return layer


def count_nodes(network):
    """Number of symbolic calls that a network's layers remember."""
    layers = list(network._flatten_layers())
    return sum(len(layer._inbound_nodes) + len(layer._outbound_nodes) for layer in layers)
