"""The tables of a config that say what a network is made of: its backbone.

The tables of mixers are in `mdnn.layers.mixing`, one file each.
"""

import dataclasses

from mdnn.config.schema import option
from mdnn.layers.mixing import Mixer

NORMS = ("rms", "layer", "none")


@dataclasses.dataclass(frozen=True)
class FoldLayer:
    """One step of a fold's block."""

    kind: str = option("mix", choices=("mix", "feedforward"))
    # In the names of its weights; empty: the kind, and a number where it is not the first such.
    name: str = ""
    mixer: tuple[Mixer, ...] = ()
    gate: str = "none"
    activation: str = "none"
    # feedforward: inner width; 0: twice the fold's width.
    width: int = option(0, least=0)
    bias: bool = False
    dropout: float = option(0.0, least=0.0, most=0.95)
    norm: str = option("rms", choices=NORMS)
    residual: str = option("pre", choices=("pre", "post", "none"))


@dataclasses.dataclass(frozen=True)
class LayerTable:
    """One step of a block: h becomes h + f(norm(h)), or as `residual` says."""

    kind: str = option("mix", choices=("mix", "feedforward", "linear", "fold"))
    # In the names of its weights; empty: the kind, and a number where it is not the first such.
    name: str = ""
    # fold: branches of each of its blocks, and how many blocks there are; the fastest context
    # axis is folded into `width` channels, mixed along the slower axes and spread again.
    block: tuple["FoldLayer", ...] = ()
    depth: int = option(1, least=1)
    # mix: mixers side by side, summed.
    mixer: tuple[Mixer, ...] = ()
    # mix: how many such sets of mixers, each with own weights, one after another.
    stack: int = option(1, least=1)
    # mix: how many times each set is fed its own output, with the same weights.
    times: int = option(1, least=1)
    # Activation of u in u * f(v); "none": no gate.
    gate: str = "none"
    activation: str = "none"
    # mix: a dense layer over the channels before and after.
    project: bool = True
    # feedforward: inner width; 0: twice the width. fold: channels of a folded row.
    width: int = option(0, least=0)
    bias: bool = False
    dropout: float = option(0.0, least=0.0, most=0.95)
    norm: str = option("rms", choices=NORMS)
    residual: str = option("pre", choices=("pre", "post", "none"))


@dataclasses.dataclass(frozen=True)
class Backbone:
    """`depth` blocks of the same branches, each with weights of its own."""

    width: int = option(128, least=1)
    depth: int = option(4, least=1)
    layer: tuple[LayerTable, ...] = ()
    final_norm: str = option("rms", choices=NORMS)
