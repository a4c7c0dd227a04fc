"""Config tables of the backbone.

The tables of mixers are in `mdnn.layers.mixing`, one file per mixer.
"""

import dataclasses

from mdnn.config.schema import option
from mdnn.layers.mixing import Mixer

NORMS = ("rms", "layer", "none")


NESTED = ("fold", "chunks")
"""Kinds of layers that hold blocks of their own."""


@dataclasses.dataclass(frozen=True)
class LayerKeys:
    """The keys that layers of a block and layers of a fold's block have in common."""

    kind: str = option("mix", choices=("mix", "feedforward"))
    # Label in the names of weights; empty: the kind, numbered from the second layer of a kind on.
    name: str = ""
    # mix: mixers whose outputs are summed.
    mixer: tuple[Mixer, ...] = ()
    # Activation of u in u * f(v); "none": no gate.
    gate: str = "none"
    activation: str = "none"
    # feedforward: inner width; 0: twice the width of the backbone, of the fold or of the chunks.
    # mix with `project`: channels between its dense layers; 0: the width of the backbone, of the
    # fold or of the chunks. fold: channels of a folded row. chunks: channels of a chunk. ngrams:
    # channels of a row of a table.
    width: int = option(0, least=0)
    bias: bool = False
    dropout: float = option(0.0, least=0.0, most=0.95)
    norm: str = option("rms", choices=NORMS)
    residual: str = option("pre", choices=("pre", "post", "none"))


@dataclasses.dataclass(frozen=True)
class FoldLayer(LayerKeys):
    """One layer of a block inside a fold or of chunks."""


@dataclasses.dataclass(frozen=True)
class LayerTable(LayerKeys):
    """One layer of a block: h + f(norm(h)), or another form set by `residual`."""

    kind: str = option("mix", choices=("mix", "feedforward", "linear", "fold", "chunks", "ngrams"))
    # fold, chunks: the layers of each inner block, and the number of inner blocks. The fold turns
    # the fastest context axis into `width` channels, mixes along the slower axes and spreads again.
    # `chunks` cuts the text into chunks of `width` channels, mixes the chunks and hands the
    # results to the characters after each chunk.
    block: tuple[FoldLayer, ...] = ()
    depth: int = option(1, least=1)
    # mix: number of sets of these mixers in sequence, each with its own weights.
    stack: int = option(1, least=1)
    # mix: number of times that each set runs on its own output, with the same weights.
    times: int = option(1, least=1)
    # mix: whether to apply dense layers over the channels before and after.
    project: bool = True
    # fold, chunks: added to the mean square in the norms of the inner blocks; smaller after
    # `mdnn grow`.
    norm_epsilon: float = option(1e-5, least=1e-12, most=1.0)
    # chunks: where chunks are cut. "space": where a word ends, before the gap after it.
    # "surprise": where the entropy of the next character rises. "learned": where the vectors of
    # neighboring characters differ.
    cut: str = option("space", choices=("space", "surprise", "learned"))
    # chunks: the lengths of a chunk in characters. A context has room for positions / shortest
    # chunks; a longer word is cut after `longest` characters.
    shortest: int = option(4, least=1)
    longest: int = option(12, least=1)
    # chunks: number of kernels along the letters of a chunk.
    kernels: int = option(2, least=1, most=64)
    # chunks: the mean length of chunks that `surprise` is measured for and that the ratio loss of
    # `learned` aims at; the weight of that loss.
    letters: float = option(6.0, least=1.1, most=1024.0)
    ratio_loss: float = option(0.03, least=0.0, most=100.0)
    # ngrams: numbers of last characters that are looked up together, and the rows of each table.
    lengths: tuple[int, ...] = option((3, 4, 5), least=1, most=16)
    rows: int = option(8192, least=1, most=32_768)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A stack of `depth` blocks of the same layers, each with its own weights."""

    width: int = option(128, least=1)
    depth: int = option(4, least=1)
    layer: tuple[LayerTable, ...] = ()
    final_norm: str = option("rms", choices=NORMS)
    # Added to the mean square (`rms`) or variance in all norms; smaller after `mdnn grow`, which
    # takes the mean over more channels.
    norm_epsilon: float = option(1e-5, least=1e-12, most=1.0)
    # Largest number of positions for which functions of single positions (dense layers over the
    # channels, heads, loss) are computed at once; longer contexts are computed slab by slab, and
    # gradients recompute each slab. 0: all positions at once.
    slab: int = option(65_536, least=0)
    # Whether gradients recompute the activations inside each layer of a block instead of storing
    # them: less memory, for the time of one more run.
    remat: bool = False
