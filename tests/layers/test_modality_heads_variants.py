"""ModalityHeads with ends, places by digits, the paper's own heads, and bits."""

import numpy as np
import pytest
from backends import to_numpy, values

from mdnn.layers import ModalityEmbedding, ModalityHeads
from mdnn.layers.decoding_steps import bit_channels
from mdnn.tokens.modalities import Modality, modality_registry


def make(modalities, width=5, **kwargs):
    """A built layer with weights far from zero, and its weights by name."""
    layer = ModalityHeads(modalities, **kwargs)
    layer.build((None, 4, width))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) / 2)
    return layer, {weight.name: to_numpy(weight) for weight in layer.weights}


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def likeliest(scores, number):
    return np.argmax(to_numpy(scores), axis=-1)


@pytest.fixture
def few(monkeypatch):
    """Modalities with so few units that all can be enumerated."""
    rows = (
        Modality("padding", 0),
        Modality("text", 1, bytes=(2, 3), coordinates=("offset",)),
        Modality("grey", 4, bytes=(3,), coordinates=("y", "x")),
        Modality("end", 9),
    )
    monkeypatch.setattr(modality_registry, "MODALITIES", {row.name: row for row in rows})


def test_the_chain_is_a_distribution(few):
    """With an end, and places of two digits: all units' probabilities sum to one."""
    kinds = ("end", "text", "grey")
    layer, _ = make(kinds, places=True, base=2, digits=2)
    every = [(1, a, b, 0, p, 0) for a, b, p in np.ndindex(2, 3, 4)]
    every += [(4, a, 0, 0, y, x) for a, y, x in np.ndindex(3, 4, 4)] + [(9, 0, 0, 0, 0, 0)]
    rows = np.zeros((1, len(every), 8), "int32")
    rows[0, :, :6] = every
    scores = values(layer, np.repeat(normal(1, 1, 5), len(every), axis=1), rows)[0]
    found = np.ones(len(every))
    start = 0
    for step in layer.steps:
        chances = np.exp(scores[:, start : start + step.classes].astype("float64"))
        chances /= chances.sum(axis=-1, keepdims=True)
        start += step.classes
        own = chances[np.arange(len(every)), to_numpy(step.answer(rows[0]))]
        found = np.where(to_numpy(step.has(rows[0])) > 0, found * own, found)
    assert start == scores.shape[-1]
    assert found.max() < 0.9
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)


def test_digits_are_conditioned_on_the_higher_ones():
    layer, w = make(("text",), places=True, base=4, digits=2)
    assert w["text_place_1_2_kernel"].shape == (5, 4)
    assert w["text_place_1_1_gate_1"].shape == (4, 5)
    hidden = normal(1, 1, 5)
    rows = np.array([[[1, 0, 0, 0, 4 * 3 + 2, 0, 0, 0]]], "int32")
    found = values(layer, hidden, rows)[0, 0, -8:]
    h = hidden[0, 0]
    low = h * (1 + w["text_place_1_1_gate_1"][3])
    expected = [
        h @ w["text_place_1_2_kernel"] + w["text_place_1_2_bias"],
        low @ w["text_place_1_1_kernel"] + w["text_place_1_1_bias"],
    ]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_weights_of_bytes_do_not_depend_on_places():
    plain = [(w.name, w.shape) for w in make(("text", "word"))[0].weights]
    more = [(w.name, w.shape) for w in make(("text", "word"), places=True, digits=1)[0].weights]
    assert set(plain) < set(more)


def test_decode_writes_places():
    """The classes chosen become bytes and places of the modality chosen, zeros elsewhere."""
    layer, _ = make(("grey", "video", "end"), places=True, base=10, digits=3)

    def choose(scores, number):
        # position 0: a pixel, position 1: one of a film, position 2: the end; then the number's
        # last digit
        return np.array([0, 1, 2]) if number == 0 else np.full(3, number % 10)

    rows = to_numpy(layer.decode(normal(3, 5), choose))
    assert rows.dtype == "int32"
    assert rows.tolist() == [
        [4, 1, 0, 0, 234, 567, 0, 0],
        [5, 1, 2, 3, 456, 789, 12, 0],
        [9, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_decode_stays_within_32_bits():
    layer, _ = make(("text",), places=True, base=10, digits=10)
    rows = to_numpy(layer.decode(normal(1, 5), lambda s, n: np.array([s.shape[-1] - 1])))
    assert rows[0].tolist() == [1, 16, 255, 255, 2**31 - 1, 0, 0, 0]


def test_decode_only_what_is_allowed():
    layer, _ = make(("text", "grey", "end"))
    hidden = np.repeat(normal(1, 5), 3, axis=0)
    for allowed in (np.eye(3, dtype=bool), np.array([True, False, True])):
        rows = to_numpy(layer.decode(hidden, likeliest, allowed))
        may = np.broadcast_to(allowed, (3, 3))
        for k, row in enumerate(rows):
            assert may[k, [1, 4, 9].index(row[0])]
    assert to_numpy(layer.decode(hidden, likeliest, np.eye(3, dtype=bool)))[:, 0].tolist() == [
        1,
        4,
        9,
    ]


def test_decode_only_some_kinds():
    """Of the others nothing is computed; the scores of the modality keep their places."""
    layer, _ = make(("text", "grey", "end"))
    hidden = normal(8, 5)
    asked = []

    def choose(scores, number):
        asked.append(scores.shape[-1])
        return likeliest(scores, number)

    rows = to_numpy(layer.decode(hidden, choose, kinds=("end", "grey")))
    assert asked == [3, 256]
    allowed = to_numpy(layer.decode(hidden, likeliest, np.array([False, True, True])))
    np.testing.assert_array_equal(rows, allowed)
    assert set(rows[:, 0]) == {4, 9}
    asked.clear()
    assert set(to_numpy(layer.decode(hidden, choose, kinds=("grey",)))[:, 0]) == {4}
    assert asked == [256]
    with pytest.raises(ValueError, match="received kinds=\\['audio'\\]"):
        layer.decode(hidden, choose, kinds=["audio"])


def test_the_papers_own_heads():
    layer, w = make(("audio", "grey"), table="full", width=2)
    assert {name: x.shape for name, x in w.items()} == {
        "modality_kernel": (2, 2),
        "modality_bias": (2,),
        "audio_byte_1_kernel": (2, 65_536),
        "audio_byte_1_bias": (65_536,),
        "grey_byte_1_kernel": (2, 256),
        "grey_byte_1_bias": (256,),
    }
    hidden = normal(1, 6, 2)
    scores = values(layer, hidden)
    assert scores.shape == layer.compute_output_shape((1, 6, 2)) == (1, 6, 2 + 65_536 + 256)
    rows = to_numpy(layer.decode(hidden, likeliest, kinds=["audio"]))
    best = scores[..., 2 : 2 + 65_536].argmax(-1)
    np.testing.assert_array_equal(rows[..., 1], best // 256)
    np.testing.assert_array_equal(rows[..., 2], best % 256)
    assert not rows[..., 3:].any()


@pytest.mark.parametrize("places", [False, True])
def test_bits_are_the_channels(places):
    layer = ModalityHeads(("text", "grey"), table="bits", places=places, base=2, digits=3)
    bits = 28 + 9 * places
    hidden = normal(1, 3, bits + 2)
    scores = values(layer, hidden)
    assert scores.shape == (1, 3, 2 * bits)
    assert not layer.weights
    np.testing.assert_array_equal(scores[..., 0::2], 0)
    np.testing.assert_array_equal(scores[..., 1::2], hidden[..., :bits])
    assert layer.operations((None, 3, bits)) == 0


def test_bits_come_back():
    """What the embedding makes of units is decoded as these units."""
    kinds = ("text", "grey", "video", "audio", "end")
    how = {"table": "bits", "places": True, "base": 8, "digits": 3}
    rows = np.array(
        [
            [1, 16, 255, 254, 511, 0, 0, 0],
            [4, 200, 0, 0, 5, 301, 0, 0],
            [5, 1, 2, 3, 4, 5, 6, 0],
            [7, 128, 77, 0, 100, 0, 0, 0],
            [9, 0, 0, 0, 0, 0, 0, 0],
        ],
        "int32",
    )
    vectors = values(ModalityEmbedding(60, kinds, **how), rows[None])
    heads = ModalityHeads(kinds, **how)
    heads.build(vectors.shape)
    np.testing.assert_array_equal(to_numpy(heads.decode(vectors, likeliest))[0], rows)


def test_bits_are_chosen_as_numbers():
    """A step of decode has the distribution of its bits, given that such a unit exists."""
    layer = ModalityHeads(("text", "grey", "end"), table="bits")
    layer.build((None, 1, 28))
    hidden = normal(1, 28)
    asked = {}

    def choose(scores, number):
        asked[number, scores.shape[-1]] = to_numpy(scores)[0].astype("float64")
        return likeliest(scores, number)

    layer.decode(hidden, choose)
    assert list(asked) == [(0, 3), (1, 17), (2, 256), (3, 256), (1, 256)]
    one = 1 / (1 + np.exp(-hidden[0].astype("float64")))
    channels = bit_channels()
    for (key, name), numbers in (
        (((0, 3), "modality"), [1, 4, 9]),
        (((1, 17), "byte_1"), range(17)),
        (((1, 256), "byte_1"), range(256)),
        (((3, 256), "byte_3"), range(256)),
    ):
        odds = np.array(
            [
                np.prod(
                    [
                        one[k] if number >> bit & 1 else 1 - one[k]
                        for k, (where, bit) in enumerate(channels)
                        if where == name
                    ]
                )
                for number in numbers
            ]
        )
        found = np.exp(asked[key])
        np.testing.assert_allclose(found / found.sum(), odds / odds.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"modalities": ("text", "blank")}, "'blank' cannot be predicted"),
        ({"modalities": ("end",)}, "no decoding step"),
        ({"table": "half"}, "table: expected 'bytes', 'full' or 'bits', received 'half'"),
        ({"table": "bits"}, r"a channel for each of 28 bits, received shape \(None, 4, 27\)"),
        (
            {"table": "bits", "places": True, "base": 4, "digits": 2},
            r"a channel for each of 40 bits, received shape \(None, 4, 27\)",
        ),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**{"modalities": ("text",), **kwargs}, width=27)
