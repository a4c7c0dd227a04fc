"""Networks whose embedding sizes differ by modality grow and shrink."""

import numpy as np
import pytest
from backends import to_numpy
from growing import FEEDFORWARD, difference, grown, random_network
from networks import make_config, mix

import mdnn
from mdnn.growth.slices import take_weights, weight_slices


def text_network(size):
    tokens = {"coordinates": True, "embedding_size": {"text": size}}
    mixing = mix({"wiring": "causal+shift", "groups": 2}, gate="silu")
    return random_network(make_config(mixing, FEEDFORWARD, grid=(5,), tokens=tokens))


@pytest.fixture(scope="module")
def text():
    return text_network(3)


@pytest.mark.parametrize(
    "changes",
    [
        ["tokens.embedding_size.text=5"],
        ["backbone.width=6"],
        ["tokens.embedding_size.text=4", "backbone.width=8", "context.grid=[7]", "tokens.digits=8"],
    ],
    ids=lambda changes: changes[-1],
)
def test_networks_grow_and_shrink(text, changes):
    new = grown(text, changes)
    assert difference(text, new) < 1e-5
    small = mdnn.build(text.config)
    take_weights(weight_slices(small, new), small)
    pairs = zip(small.embedding.weights, text.embedding.weights, strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["tokens.embedding_size.text=2"], "embedding_size.text: growing keeps at least 3, recei"),
        (["tokens.embedding_size.text=0"], "embedding_size.text: growing keeps at least 3, recei"),
    ],
)
def test_networks_do_not_grow_narrower(text, changes, message):
    with pytest.raises(mdnn.MdnnError) as refused:
        grown(text, changes)
    assert message in str(refused.value)


def test_dense_layers_are_not_added():
    plain = text_network(0)
    with pytest.raises(mdnn.MdnnError, match=r"neither add nor remove the dense layer of a modal"):
        grown(plain, ["tokens.embedding_size.text=3"])
