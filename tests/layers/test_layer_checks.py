"""Every layer of mdnn, in a few configurations, through the checks that any layer must pass."""

from functools import partial

import keras
import numpy as np
import pytest
from layer_checks import CHECKS, Case, check_export, check_fit

from mdnn.activations import Partial
from mdnn.layers import (
    AxisAttention,
    AxisConv,
    AxisDense,
    AxisLocal,
    AxisMean,
    FieldEmbedding,
    FieldHeads,
    ModalityEmbedding,
    ModalityHeads,
    MultidimDense,
    RandomOffsetPadding,
)
from mdnn.layers.mixing.keyed_sum import KeyedSum
from mdnn.layers.mixing.stored_reading import StoredReading
from mdnn.layers.rms_norm import RMSNorm
from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.slot_embedding import SlotEmbedding
from mdnn.models.thinking.recurrence import Refeed
from mdnn.paper.paper_layers import LineageLayer
from mdnn.paper.roll import LineageRollLayer
from mdnn.tokens.context_slots import behind_slots
from mdnn.tokens.modalities import MODALITIES

FULL = {"use_bias": True, "kernel_regularizer": "l2", "bias_initializer": "ones"}


def refeed(dtype=None, **kwargs):
    """Branches belong to one layer: new ones each time."""
    first = LinearBlock(activation="melu", dtype=dtype, name="first")
    second = FeedForwardBlock(6, dtype=dtype, name="second")
    return Refeed([first, second], dtype=dtype, **kwargs)


KINDS = [row for row in MODALITIES.values() if row.name not in ("padding", "word")]


def every_modality(batch):
    """Tokens with a position of every modality in each example."""
    tokens = np.random.default_rng(0).integers(4, size=(5, len(KINDS), 8))
    tokens[..., 0] = [row.index for row in KINDS]
    return tokens[:batch].astype("int32")


def text_tokens(batch):
    """Three characters in each example."""
    tokens = np.zeros((batch, 3, 8), "int32")
    tokens[..., 0], tokens[..., 1] = 1, np.random.default_rng(0).integers(4, size=(batch, 3))
    return tokens


CASES = {
    "attention": Case(partial(AxisAttention, 1, 2), (3, 4)),
    "attention, causal": Case(
        partial(AxisAttention, -2, 2, wiring="causal", rotary=True, dropout=0.1, seed=1, **FULL),
        (2, 3, 4),
    ),
    "attention, causal in the call": Case(
        partial(AxisAttention, 1, 1), (3, 2, 4), call={"causal": True}
    ),
    "keys": Case(partial(KeyedSum, [1], 2), (3, 4)),
    "keys, whole": Case(partial(KeyedSum, [1, 2], wiring="full", sharpness=2.0), (2, 3, 4)),
    "keys, previous": Case(partial(KeyedSum, [1, 2], 2, features=3, match="previous"), (2, 3, 4)),
    "keys, forgetting": Case(
        partial(KeyedSum, [1, 2], 2, write_gate=True, forget_gate=True), (2, 3, 4)
    ),
    "keys, gated": Case(partial(KeyedSum, [1, 2], 2, match="previous", write_gate=True), (2, 3, 4)),
    "stored": Case(partial(StoredReading, 1, 2, 2), (3, 4)),
    "conv": Case(partial(AxisConv, 1, 3), (4, 3)),
    "conv, causal": Case(
        partial(AxisConv, 2, 2, wiring="causal", activation="mdnn>melu", **FULL), (2, 4, 3)
    ),
    "conv, all channels": Case(
        partial(AxisConv, 1, 3, depthwise=False, units=5, activation=Partial("sort2"), **FULL),
        (4, 3),
        call={"causal": True},
    ),
    "local": Case(partial(AxisLocal, 1, 1), (4,)),
    "local, groups": Case(
        partial(AxisLocal, 1, 2, groups=2, wiring="causal", activation="silu", **FULL), (4, 2, 4)
    ),
    "local, separate": Case(partial(AxisLocal, 2, 1, sharing="separate", **FULL), (2, 4)),
    "padding": Case(partial(RandomOffsetPadding, 7, seed=1), (4, 2), dtype="int32"),
    "padding, floats": Case(
        partial(RandomOffsetPadding, 5, axis=2, value=0.5, return_offset=True, offset=1), (2, 3)
    ),
    "padding, given": Case(
        partial(RandomOffsetPadding, 7), (4,), dtype="uint8", more={"offset": ((), "int32")}
    ),
    "embedding": Case(partial(ModalityEmbedding, 4), (3, 8), dtype="int32"),
    "embedding, full": Case(partial(ModalityEmbedding, 1, table="full"), (3, 8), dtype="int32"),
    "embedding, words and places": Case(
        partial(
            ModalityEmbedding,
            4,
            modalities=("text", "word"),
            letters=[[97, -1], [98, 99]],
            places=True,
            items=True,
            base=4,
            digits=2,
        ),
        (3, 8),
        dtype="int32",
    ),
    "embedding, all modalities": Case(
        partial(
            ModalityEmbedding,
            4,
            modalities=[row.name for row in KINDS],
            places=True,
            base=4,
            digits=2,
            start="ordered",
        ),
        (len(KINDS), 8),
        dtype="int32",
        inputs=lambda batch: [every_modality(batch)],
    ),
    "embedding, full sounds": Case(
        partial(ModalityEmbedding, 1, ("audio", "end"), "full", start="ordered"),
        (len(KINDS), 8),
        dtype="int32",
        inputs=lambda batch: [every_modality(batch)],
    ),
    "embedding, slots": Case(
        partial(SlotEmbedding, 6, 2),
        (5, 8),
        dtype="int32",
        inputs=lambda batch: [behind_slots(text_tokens(batch), 2)],
    ),
    "embedding, bits": Case(
        partial(ModalityEmbedding, 48, ("text", "grey"), "bits", True, True, 4, 2),
        (3, 8),
        dtype="int32",
    ),
    "heads": Case(
        partial(ModalityHeads, ("text", "word")),
        (3, 4),
        more={"targets": ((3, 8), "int32")},
        float_dtype="float32",
    ),
    "heads, places": Case(
        partial(ModalityHeads, ("grey", "audio", "end"), places=True, base=3, digits=2),
        (3, 4),
        more={"targets": ((3, 8), "int32")},
        float_dtype="float32",
    ),
    "heads, full": Case(
        partial(ModalityHeads, ("audio", "grey"), table="full"), (2, 1), float_dtype="float32"
    ),
    "heads, bits": Case(
        partial(ModalityHeads, ("text", "end"), "bits", True, 4, 2),
        (2, 42),
        more={"targets": ((2, 8), "int32")},
        float_dtype="float32",
    ),
    "heads, likeliest": Case(partial(ModalityHeads), (2, 4), float_dtype="float32"),
    "axis dense": Case(partial(AxisDense, 1, 5), (3, 2)),
    "axis dense, last": Case(partial(AxisDense, -1, 2, activation="relu", **FULL), (2, 3)),
    "multidim": Case(partial(MultidimDense), (2, 3)),
    "multidim, shared": Case(
        partial(MultidimDense, sharing="shared", activation="gelu", **FULL), (2, 3, 2)
    ),
    "multidim, tied": Case(
        partial(MultidimDense, axes=(1, 2), sharing="tied", self_connection="once"), (3, 3, 2)
    ),
    "multidim, groups": Case(
        partial(MultidimDense, axes=(1, 2), sharing=(3,), wiring="causal"), (3, 2, 2)
    ),
    "multidim, each its own": Case(
        partial(MultidimDense, sharing=["separate", "shared", [1]], self_connection="none", **FULL),
        (2, 3, 2),
    ),
    "multidim, causal shift": Case(
        partial(MultidimDense, axes=(1, 2), sharing="shared", wiring="causal+shift"), (2, 3, 2)
    ),
    "multidim, causal tied sequential": Case(
        partial(MultidimDense, sharing="tied", wiring="causal", execution="sequential"),
        (3, 3),
        call={"causal": False},
    ),
    "multidim, local": Case(
        partial(MultidimDense, wiring="local", window=[1, 2], sharing="shared"), (4, 4)
    ),
    "multidim, random": Case(
        partial(MultidimDense, wiring=["random", "causal"], density=0.5, seed=3), (4, 3)
    ),
    "multidim, sequential": Case(
        partial(
            MultidimDense, axes=(2, 1), execution="sequential", order="descending", units={1: 4}
        ),
        (2, 3),
    ),
    "lineage": Case(partial(LineageLayer, [2, 3]), (2, 3), only_start=("weights",)),
    "lineage, one axis": Case(
        partial(
            LineageLayer,
            [2, 3],
            mode="shared",
            execution="single",
            single_axis=0,
            axis_output=4,
            use_bias=True,
        ),
        (2, 3),
        only_start=("weights",),
    ),
    "lineage, rolling": Case(partial(LineageRollLayer, [2, 3], use_bias=True), (2, 3)),
    "mix": Case(partial(MixingBlock, [{"wiring": "causal"}], gate="silu"), (3, 2, 4)),
    "mix, two side by side": Case(
        partial(
            MixingBlock,
            [
                {"kind": "attention", "axes": [1], "heads": 2},
                {"kind": "conv", "axes": [2], "window": 1},
            ],
            stack=2,
            activation="partial(melu, 0.5)",
            bias=True,
            dropout=0.1,
        ),
        (3, 2, 4),
    ),
    "feed-forward": Case(
        partial(FeedForwardBlock, 6, gate="silu", residual="post", norm="layer"), (3, 4)
    ),
    "linear": Case(partial(LinearBlock, activation="sort2"), (3, 4)),
    "refeed": Case(partial(refeed, steps=3, initial_state="learned"), (3, 4)),
    "rms norm": Case(RMSNorm, (3, 4)),
    "axis mean": Case(partial(AxisMean, [1, -2]), (2, 3, 4)),
    "field embedding": Case(partial(FieldEmbedding, 5, 3), (4, 8), dtype="int32"),
    "field heads": Case(partial(FieldHeads, 3), (6, 4), float_dtype="float32"),
}


def test_cases_cover_every_layer():
    layers = {
        value
        for value in keras.saving.get_custom_objects().values()
        if isinstance(value, type)
        and issubclass(value, keras.layers.Layer)
        and value.__module__.startswith("mdnn.")
    }
    covered = {type(case.make()) for case in CASES.values()}
    # A measure, computed in float32 alone; the fold, which tests/models/test_fold.py puts through
    # the same checks; the halting head, whose output is its input, so that no gradient reaches its
    # weights (test_keras_checks.py has it); whole networks (tests/models/test_network_model.py);
    # layers of chunks, which need cuts, and of networks in tandem, which hold copies of others
    # (tests/models/test_chunks.py, test_tandem.py); and Keras' own layers with a counted
    # `add_weight`.
    assert {layer.__name__ for layer in layers - covered} <= {
        "Network",
        "RuledDense",
        "RuledLayerNormalization",
        "TokenNLL",
        "RowBottleneck",
        "HaltHead",
        "ChunkBlock",
        "SpaceCut",
        "SurpriseCut",
        "LearnedCut",
        "NgramBlock",
        "Members",
        "TandemHeads",
        "TandemNetwork",
    }


def checks():
    """Every case with every check; to export or fit a further one of a layer takes long."""
    for name in CASES:
        for check in CHECKS:
            further = check in (check_export, check_fit) and "," in name
            marks = [pytest.mark.long] if further else []
            yield pytest.param(name, check, marks=marks, id=f"{name}-{check.__name__}")


@pytest.mark.parametrize(("name", "check"), list(checks()))
def test_check(name, check, tmp_path):
    check(CASES[name], tmp_path)
