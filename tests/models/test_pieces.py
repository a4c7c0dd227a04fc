"""Contexts read in pieces, and the caches that go on after them, equal whole passes."""

import numpy as np
import pytest
from backends import to_numpy
from keras import ops
from networks import make_config, mix, randomize, text_tokens
from streaming import compiled, position_by_position

from mdnn import build
from mdnn.layers.mixing.axes_cache import AxesCache
from mdnn.models.incremental import IncrementalDecoder

GROUPS = {"groups": 2, "wiring": "causal+shift"}
FEED = {"kind": "feedforward", "width": 6}
NETWORKS = {
    "two axes": ((6, 3), [GROUPS]),
    "three axes": ((4, 3, 2), [GROUPS]),
    "four axes": ((4, 2, 3, 2), [{"groups": 2}]),
    "one kernel": ((6, 2, 2), [{"sharing": "shared"}]),
    "beside others": (
        (4, 2, 3),
        [GROUPS, {"kind": "keys"}, {"kind": "attention", "axes": [3], "heads": 2}],
    ),
    "previous keys": (
        (4, 2, 3),
        [GROUPS, {"kind": "keys", "features": 3, "match": "previous", "write_gate": True}],
    ),
    "forgetting keys": (
        (4, 2, 3),
        [
            {"kind": "keys", "features": 3, "forget_gate": True},
            {"kind": "keys", "match": "previous", "write_gate": True, "forget_gate": True},
        ],
    ),
    "axes alone": ((4, 2, 3), [{"axes": [1]}, {"kind": "conv", "axes": [2], "window": 1}]),
    "each position": ((8, 3), [{"axes": [1], "sharing": "separate"}]),
}


def network(name, slab):
    grid, mixers = NETWORKS[name]
    layers = {"width": 4, "depth": 2, "slab": slab, "layer": [mix(*mixers), FEED]}
    return randomize(build(make_config(grid=grid, backbone=layers)))


@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_equal_the_whole(name):
    model = network(name, slab=14)
    positions, decoder = model.positions, compiled(IncrementalDecoder(model))
    assert positions % decoder.piece == 0
    assert 1 < positions // decoder.piece <= 4
    tokens = ops.convert_to_tensor(text_tokens((2, positions)))
    whole = to_numpy(model.hidden(tokens, True))
    weights, found = decoder.prepare_weights(), []
    past_rows, rows = decoder.empty_reading(2), decoder.piece // decoder.num_columns
    for begin in range(0, positions, decoder.piece):
        first = ops.full((1,), begin // decoder.num_columns, dtype="int32")
        piece = tokens[:, begin : begin + decoder.piece]
        before = past_rows
        hidden, past_rows, _ = decoder.read(piece, weights, before, first)
        found.append(to_numpy(hidden))
        # Decoding goes on inside this piece.
        at = first + rows - 1
        _, there, inputs = decoder.read(piece, weights, before, first, at)
        start = decoder.start_row(weights, there, at)
        current = decoder.restore_row(inputs, at, first)
        last = begin + decoder.piece - 1
        number = ops.convert_to_tensor(np.int32(decoder.num_columns - 1))
        one, _ = decoder.step(tokens[:, last], number, weights, start, current)
        np.testing.assert_allclose(to_numpy(one), whole[:, last], atol=2e-5 * np.abs(whole).max())
    np.testing.assert_allclose(
        np.concatenate(found, axis=1), whole, atol=2e-5 * np.abs(whole).max()
    )
    assert np.abs(whole).max() > 0.1


def test_decoding_goes_on_anywhere():
    model = network("four axes", slab=0)
    decoder = compiled(IncrementalDecoder(model))
    assert decoder.piece == 0
    assert any(isinstance(cache, AxesCache) for cache in decoder.caches.uses)
    tokens = text_tokens((2, model.positions))
    whole = to_numpy(model.hidden(tokens, True))
    for begin, together in ((0, True), (model.positions // 3 + 1, False)):
        found = position_by_position(decoder, tokens, begin, together)
        np.testing.assert_allclose(found, whole[:, begin:], atol=2e-5 * np.abs(whole).max())
