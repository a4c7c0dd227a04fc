"""Layers of chunks grow and compute the same; what would cut elsewhere is refused."""

import pytest
from growing import difference, grown, random_network
from networks import make_config, mix

from mdnn.errors import MdnnError

INNER = [mix({"wiring": "causal+shift", "groups": 2}, gate="silu"), {"kind": "feedforward"}]
NGRAMS = {"kind": "ngrams", "lengths": [2, 4], "rows": 30, "width": 3}
CHUNKS = {"kind": "chunks", "width": 6, "shortest": 3, "longest": 5, "block": INNER}
LAYER = "backbone.layer.1"
LARGE = ["context.grid=[2, 4, 6]", "backbone.width=8", f"{LAYER}.width=10", f"{LAYER}.depth=2"]


def chunk_network(**words):
    layers = [mix({"wiring": "causal"}), {**CHUNKS, **words}, {"kind": "feedforward", "width": 6}]
    layers.append(NGRAMS)
    return random_network(make_config(*layers, grid=(4, 6), width=4))


@pytest.mark.parametrize("cut", ["space", "surprise", "learned"])
def test_all_at_once(cut):
    old = chunk_network(cut=cut)
    assert difference(old, grown(old, LARGE)) < 1e-5


@pytest.mark.parametrize(
    "change", ["context.grid=[7, 6]", "backbone.width=8", f"{LAYER}.width=8", "backbone.depth=2"]
)
def test_each_change(change):
    old = chunk_network()
    assert difference(old, grown(old, [change])) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (f"{LAYER}.longest=6", "backbone.layer.1.longest: expected 5 as before growing"),
        ("backbone.layer.3.rows=31", "backbone.layer.3.rows: expected 30 as before growing"),
        (f"{LAYER}.cut=learned", "backbone.layer.1.cut: expected 'space' as before growing"),
        ("context.grid=[4, 8]", "chunks are cut from the text in order; a longer 'column' puts"),
    ],
)
def test_what_would_cut_elsewhere(change, message):
    with pytest.raises(MdnnError, match=message):
        grown(chunk_network(), [change])
