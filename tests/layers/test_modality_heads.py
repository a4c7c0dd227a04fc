"""ModalityHeads: scores, and the distribution that they chain to."""

import numpy as np
import pytest
from backends import to_numpy, values

from mdnn.layers import ModalityHeads
from mdnn.layers.decoding_steps import decoding_steps
from mdnn.tokens.modalities import Modality, modality_registry

BOTH = ("text", "word")


def make(modalities=("text",), width=5, **kwargs):
    """A built layer with weights far from zero, and its weights by name."""
    layer = ModalityHeads(modalities, **kwargs)
    layer.build((None, 4, width))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer, {weight.name: to_numpy(weight) for weight in layer.weights}


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def tokens(*rows):
    """Token rows `[1, n, 8]` of `(modality, byte, ...)`."""
    found = np.zeros((1, len(rows), 8), "int32")
    for position, row in enumerate(rows):
        found[0, position, : len(row)] = row
    return found


@pytest.fixture
def few(monkeypatch):
    """Modalities with so few units that all can be enumerated."""
    rows = (
        Modality("padding", 0),
        Modality("text", 1, bytes=(3, 4, 5), coordinates=("offset",)),
        Modality("word", 2, bytes=(4, 3), coordinates=("offset",)),
    )
    monkeypatch.setattr(modality_registry, "MODALITIES", {row.name: row for row in rows})
    return rows


def test_steps():
    assert [(s.name, s.column, s.classes) for s in decoding_steps(["text"])] == [
        ("text_byte_1", "byte_1", 17),
        ("text_byte_2", "byte_2", 256),
        ("text_byte_3", "byte_3", 256),
    ]
    assert [(s.name, s.column, s.classes) for s in decoding_steps(BOTH)] == [
        ("modality", "modality", 2),
        ("text_byte_1", "byte_1", 17),
        ("text_byte_2", "byte_2", 256),
        ("text_byte_3", "byte_3", 256),
        ("word_byte_1", "byte_1", 256),
        ("word_byte_2", "byte_2", 256),
    ]


def test_scores_in_numpy():
    layer, w = make(BOTH)
    hidden = normal(1, 4, 5)
    rows = ((1, 3, 7, 9), (2, 200, 5), (0,), (1, 16, 255, 255))
    scores = values(layer, hidden, tokens(*rows))
    assert scores.shape == (1, 4, 2 + 17 + 256 + 256 + 256 + 256)
    assert scores.dtype == "float32"
    for position, row in enumerate(rows):
        byte_1, byte_2 = (*row[1:], 0, 0)[:2]
        h = hidden[0, position]
        high = h * (1 + w["text_byte_2_gate_1"][min(byte_1, 16)])
        low = h * (1 + w["text_byte_3_gate_1"][min(byte_1, 16)])
        low = low * (1 + w["text_byte_3_gate_2"][byte_2])
        word = h * (1 + w["word_byte_2_gate_1"][byte_1])
        expected = [
            vector @ w[f"{name}_kernel"] + w[f"{name}_bias"]
            for name, vector in (
                ("modality", h),
                ("text_byte_1", h),
                ("text_byte_2", high),
                ("text_byte_3", low),
                ("word_byte_1", h),
                ("word_byte_2", word),
            )
        ]
        np.testing.assert_allclose(
            scores[0, position], np.concatenate(expected), rtol=1e-4, atol=1e-4
        )


def test_a_byte_is_conditioned_on_the_ones_before():
    """Another plane, another cell: once the gates are not zero, as they start."""
    hidden = np.repeat(normal(1, 1, 5), 4, axis=1)
    rows = tokens((1, 0, 7, 9), (1, 1, 7, 9), (1, 0, 8, 9), (1, 0, 7, 10))
    layer, _ = make()
    plane, row, cell = np.split(values(layer, hidden, rows)[0], [17, 17 + 256], axis=-1)
    assert (plane == plane[0]).all()
    assert (row[[2, 3]] == row[0]).all()
    assert (row[1] != row[0]).all()
    assert (cell[1] != cell[0]).all()
    assert (cell[2] != cell[0]).all()
    assert (cell[3] == cell[0]).all()

    fresh = ModalityHeads()
    scores = values(fresh, hidden, rows)[0]
    assert (scores == scores[0]).all()
    assert (scores[0] != 0).any()


def chain(layer, hidden, rows, kinds):
    """The probability of each unit, from its own scores, in numpy."""
    scores = values(layer, np.repeat(hidden, rows.shape[1], axis=1), rows)[0].astype("float64")
    found = []
    for score, row in zip(scores, rows[0], strict=True):
        probability, start = 1.0, 0
        for step in decoding_steps(kinds):
            chances = np.exp(score[start : start + step.classes])
            chances /= chances.sum()
            start += step.classes
            if step.kinds is None:
                probability *= chances[row[0] - 1]
            elif modality_registry.modality(step.kinds[0]).index == row[0]:
                probability *= chances[row[int(step.name[-1])]]
        found.append(probability)
    return np.array(found)


def test_the_chain_is_a_distribution(few):
    """The probabilities of all units sum to one, whatever the weights."""
    layer, _ = make(BOTH)
    every = [(1, *unit) for unit in np.ndindex(3, 4, 5)] + [(2, *unit) for unit in np.ndindex(4, 3)]
    assert len(every) == 3 * 4 * 5 + 4 * 3
    found = chain(layer, normal(1, 1, 5), tokens(*every), BOTH)
    assert found.max() < 0.9
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)


def test_without_targets_the_likeliest_bytes_are_taken(few):
    layer, _ = make(BOTH)
    hidden = normal(1, 8, 5)
    alone = values(layer, hidden)
    unit = to_numpy(layer.decode(hidden, lambda scores, number: np.argmax(to_numpy(scores), -1)))
    # With these units as targets the scores of their own modality are the same.
    with_them = values(layer, hidden, unit)
    for position, row in enumerate(unit[0]):
        own = slice(2, 2 + 12) if row[0] == 1 else slice(2 + 12, None)
        np.testing.assert_allclose(alone[0, position, own], with_them[0, position, own], rtol=1e-5)
        assert alone[0, position, :2].argmax() == row[0] - 1
    assert set(unit[0, :, 0]) == {1, 2}
    assert (unit[unit[..., 0] == 2][:, 3] == 0).all()


def test_decode_asks_step_by_step():
    """Each choice is told its scores and number, and conditions those after it."""
    layer, _ = make()
    hidden = normal(1, 2, 5)
    asked = []
    planes = np.array([[1, 2]])

    def choose(scores, number):
        asked.append((number, scores.shape))
        return planes if number == 0 else np.argmax(to_numpy(scores), axis=-1)

    unit = to_numpy(layer.decode(hidden, choose))
    assert asked == [(0, (1, 2, 17)), (1, (1, 2, 256)), (2, (1, 2, 256))]
    assert unit.dtype == "int32"
    assert (unit[..., 1] == planes).all()
    scores = values(layer, hidden, unit)
    np.testing.assert_array_equal(scores[..., 17 : 17 + 256].argmax(-1), unit[..., 2])
    np.testing.assert_array_equal(scores[..., 17 + 256 :].argmax(-1), unit[..., 3])


def test_decode_chooses_the_modality_first():
    layer, _ = make(BOTH)
    asked = []

    def choose(scores, number):
        asked.append((number, scores.shape[-1]))
        return np.array([0, 1]) if scores.shape[-1] == 2 else np.array([3, 4])

    unit = to_numpy(layer.decode(normal(2, 5), choose))
    assert asked == [(0, 2), (1, 17), (2, 256), (3, 256), (1, 256), (2, 256)]
    np.testing.assert_array_equal(unit, [[1, 3, 3, 3, 0, 0, 0, 0], [2, 4, 4, 0, 0, 0, 0, 0]])


def test_kernels_start_different():
    layer = ModalityHeads(BOTH, gate_initializer="random_normal")
    layer.build((None, 4, 5))
    starts = {}
    for weight in layer.weights:
        if "bias" not in weight.name:
            starts.setdefault(tuple(weight.shape), []).append(to_numpy(weight))
    assert sorted(map(len, starts.values())) == [1, 1, 2, 2, 4]
    for same in starts.values():
        for k in range(len(same) - 1):
            assert abs(same[k] - same[k + 1]).max() > 0.01


def test_operations():
    assert ModalityHeads().operations((None, 6, 5)) == 6 * 5 * (17 + 256 + 256)


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        (("txt",), "unknown modality 'txt'"),
        (("text", "text"), "modalities: expected distinct names, no padding"),
        (("padding",), "modalities: expected distinct names, no padding"),
        ((), "modalities: expected distinct names, no padding"),
    ],
)
def test_errors(modalities, message):
    with pytest.raises(ValueError, match=message):
        ModalityHeads(modalities)


def test_targets_that_are_no_tokens():
    with pytest.raises(
        ValueError, match=r"expected targets \[batch, positions, 8\], received \(1, 4, 3\)"
    ):
        ModalityHeads()(normal(1, 4, 5), np.zeros((1, 4, 3), "int32"))
