"""Decoding steps: which there are, what they ask of token rows, and the way back."""

import numpy as np
import pytest
from backends import to_numpy

from mdnn.layers.decoding_steps import bit_channels, column, decoding_steps, number_bits
from mdnn.tokens.features import TOKEN_FEATURES
from mdnn.tokens.modalities import MODALITIES, modality

ALL = ("text", "word", "image", "grey", "video", "grey_video", "audio", "end")
LARGEST = 2**31 - 1


def some_rows(names, most=LARGEST, count=40):
    """Random token rows `[n, 8]` of modalities, the largest and smallest units among them."""
    rng = np.random.default_rng(0)
    rows = np.zeros((count * len(names), 8), "int32")
    for number, name in enumerate(names):
        own = rows[number * count : (number + 1) * count]
        kind = modality(name)
        own[:, 0] = kind.index
        for k, classes in enumerate(kind.bytes):
            own[:, 1 + k] = rng.integers(0, classes, count)
            own[:2, 1 + k] = (0, classes - 1)
        for k in range(len(kind.coordinates)):
            own[:, 4 + k] = rng.integers(0, most, count, endpoint=True)
            own[:2, 4 + k] = (0, most)
    return rows


def brief(steps):
    return [(step.name, step.column, step.divisor, step.classes, step.given) for step in steps]


def test_places_in_digits():
    """The highest digit first, each given the higher ones of its own coordinate."""
    assert brief(decoding_steps(["grey"], places=True, base=10, digits=3)) == [
        ("grey_byte_1", "byte_1", 1, 256, ()),
        ("grey_place_1_3", "place_1", 100, 10, ()),
        ("grey_place_1_2", "place_1", 10, 10, ("grey_place_1_3",)),
        ("grey_place_1_1", "place_1", 1, 10, ("grey_place_1_3", "grey_place_1_2")),
        ("grey_place_2_3", "place_2", 100, 10, ()),
        ("grey_place_2_2", "place_2", 10, 10, ("grey_place_2_3",)),
        ("grey_place_2_1", "place_2", 1, 10, ("grey_place_2_3", "grey_place_2_2")),
    ]


def test_an_end_has_no_bytes():
    steps = decoding_steps(["grey", "end"], places=True, base=4, digits=1)
    assert [step.name for step in steps] == [
        "modality",
        "grey_byte_1",
        "grey_place_1_1",
        "grey_place_2_1",
    ]
    assert steps[0].values == (4, 9)
    assert decoding_steps(["end"], places=True) == []


def test_the_papers_own_heads():
    """One step for a code point and one for a sample; pixels have a step for each color."""
    steps = decoding_steps(["text", "image", "audio"], table="full")
    assert [(step.name, step.classes, step.columns) for step in steps] == [
        ("modality", 3, ("modality",)),
        ("text_byte_1", 1_114_112, ("byte_1", "byte_2", "byte_3")),
        ("image_byte_1", 256, ("byte_1",)),
        ("image_byte_2", 256, ("byte_2",)),
        ("image_byte_3", 256, ("byte_3",)),
        ("audio_byte_1", 65_536, ("byte_1", "byte_2")),
    ]
    rows = np.array([[1, 1, 2, 3, 0, 0, 0, 0], [7, 200, 100, 0, 0, 0, 0, 0]])
    assert int(steps[1].answer(rows)[0]) == 65_536 + 2 * 256 + 3
    assert int(steps[-1].answer(rows)[1]) == 200 * 256 + 100


@pytest.mark.parametrize(
    ("base", "digits", "bits"), [(2, 5, 5), (32, 6, 30), (10, 2, 7), (1024, 32, 31), (2, 1, 1)]
)
def test_bits_of_numbers(base, digits, bits):
    assert number_bits(base, digits) == bits


def test_channels_of_bits():
    channels = bit_channels()
    assert channels[:6] == [*(("modality", b) for b in (3, 2, 1, 0)), ("byte_1", 7), ("byte_1", 6)]
    assert len(channels) == 4 + 3 * 8
    more = bit_channels(places=True, items=True, base=4, digits=2)
    assert more[: len(channels)] == channels
    assert more[len(channels) :] == [
        (name, bit) for name in ("place_1", "place_2", "place_3", "item") for bit in (3, 2, 1, 0)
    ]


def test_bit_steps_are_shared_by_all_modalities():
    steps = {step.name: step for step in decoding_steps(["text", "grey", "end"], "bits", True)}
    assert len(steps) == 4 + 24 + 3 * 30
    assert {step.classes for step in steps.values()} == {2}
    assert steps["modality_bit_4"].kinds is None
    assert steps["byte_1_bit_8"].kinds == ("text", "grey")
    assert steps["byte_2_bit_1"].kinds == ("text",)
    assert steps["place_2_bit_30"].kinds == ("grey",)
    assert steps["place_3_bit_1"].kinds == ()
    assert steps["place_1_bit_30"].divisor == 2**29
    assert [step.name for step in decoding_steps(["text"], "bits")][:5] == [
        "modality_bit_4",
        "modality_bit_3",
        "modality_bit_2",
        "modality_bit_1",
        "byte_1_bit_8",
    ]


@pytest.mark.parametrize(
    ("table", "base", "digits", "most"),
    [
        ("bytes", 32, 6, 2**30 - 1),
        ("bytes", 32, 7, LARGEST),
        ("bytes", 10, 12, LARGEST),
        ("bytes", 1024, 32, LARGEST),
        ("full", 2, 32, LARGEST),
        ("bits", 1024, 32, LARGEST),
    ],
)
def test_answers_say_all_of_a_unit(table, base, digits, most):
    """A row that is written from its answers is the row."""
    rows = some_rows(ALL, most)
    found = {name: np.zeros(len(rows), "int32") for name in TOKEN_FEATURES}
    for step in decoding_steps(ALL, table, True, base, digits):
        answer = to_numpy(step.answer(rows))
        has = to_numpy(step.has(rows)) > 0
        assert (answer >= 0).all()
        assert (answer < step.classes).all()
        before = dict(found)
        step.write(found, answer)
        # Only the rows whose unit has the step.
        found = {
            name: np.where(has, to_numpy(found[name]), before[name]) for name in TOKEN_FEATURES
        }
    np.testing.assert_array_equal(np.stack([found[name] for name in TOKEN_FEATURES], axis=-1), rows)


def test_larger_places_wrap_around():
    step = decoding_steps(["text"], places=True, base=10, digits=1)[-1]
    assert (step.name, int(step.answer(some_rows(["text"], most=1234)[1]))) == ("text_place_1_1", 4)


def test_units_of_others_have_no_step():
    rows = np.zeros((len(MODALITIES), 8), "int32")
    rows[:, 0] = [row.index for row in MODALITIES.values()]
    modality_step, byte, *_ = decoding_steps(["audio", "grey"])
    names = list(MODALITIES)
    assert names.index("padding") == 0
    assert to_numpy(modality_step.has(rows)).tolist() == [0] + [1] * (len(names) - 1)
    assert to_numpy(byte.has(rows)).tolist() == [int(name == "audio") for name in names]
    answers = to_numpy(modality_step.answer(rows)).tolist()
    assert answers == [int(name == "grey") for name in names]


@pytest.mark.parametrize(
    ("place", "part"), [("modality", "modality"), ("byte_2", "byte_2"), ("place_3", "coordinate")]
)
def test_parts(place, part):
    for table in ("bytes", "bits"):
        steps = decoding_steps(["video", "audio"], table, places=True)
        assert {step.group for step in steps if step.column == place} == {part}


def test_columns():
    row = np.arange(8)
    assert [column(row, name) for name in TOKEN_FEATURES] == list(range(8))


def test_no_such_table():
    with pytest.raises(
        ValueError, match="table: expected 'bytes', 'full' or 'bits', received 'half'"
    ):
        decoding_steps(["text"], "half")
