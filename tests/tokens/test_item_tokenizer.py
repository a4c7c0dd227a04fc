"""Items of every kind to token rows and back."""

import math

import numpy as np
import pytest

from mdnn.errors import MdnnError
from mdnn.tokens import features as table
from mdnn.tokens.item_tokenizer import END_ROW, ItemTokenizer
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import modality

RANDOM = np.random.default_rng(5)


def pixels(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


ITEMS = {
    "text": Item("text", "a 猫\U0001f600\ud800\0"),
    "empty text": Item("text", ""),
    "words": Item("text", "the cats, the猫 the1"),
    "image": Item("image", pixels(3, 2, 3)),
    "one pixel": Item("image", pixels(1, 1, 3)),
    "every grey": Item("grey", np.arange(256, dtype=np.uint8).reshape(2, 128)),
    "column": Item("grey", pixels(5, 1)),
    "video": Item("video", pixels(2, 3, 4, 3)),
    "one frame": Item("video", pixels(1, 2, 2, 3)),
    "grey_video": Item("grey_video", pixels(4, 2, 3)),
    "audio": Item("audio", np.array([0, -1, 1, -32768, 32767, 255, 256], np.int16), rate=8000),
}
FILMS_AND_PICTURES = ["image", "every grey", "video", "grey_video"]


def same(one, other):
    assert one.kind == other.kind
    if one.kind == "text":
        assert one.value == other.value
    else:
        assert one.value.dtype == other.value.dtype
        np.testing.assert_array_equal(one.value, other.value)


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS.keys())
@pytest.mark.parametrize("words", [(), ("the", "cats")], ids=["characters", "words"])
def test_round_trip_is_exact(item, words):
    tokenizer = ItemTokenizer(words)
    rows = tokenizer.tokens(item, 7)
    assert rows.dtype == np.int32
    assert rows.shape == (tokenizer.count(item), 8)
    assert (rows[:, table.ITEM] == 7).all()
    back = tokenizer.item(rows)
    same(back, item)
    assert back.rate == item.rate
    same(tokenizer.item(rows.astype(np.int64)), item)


def test_every_sample_makes_the_round_trip():
    tokenizer = ItemTokenizer(rate=44_100)
    every = np.arange(-32768, 32768).astype(np.int16)
    rows = tokenizer.tokens(Item("audio", every))
    assert rows[:, table.BYTES][:, :2].min() == 0
    assert rows[:, table.BYTES][:, :2].max() == 255
    back = tokenizer.item(rows)
    np.testing.assert_array_equal(back.value, every)
    assert back.rate == 44_100


def test_columns_of_each_kind():
    tokenizer = ItemTokenizer()
    picture = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    np.testing.assert_array_equal(
        tokenizer.tokens(picture, 9), [[3, 1, 2, 3, 0, 0, 0, 9], [3, 4, 5, 6, 0, 1, 0, 9]]
    )
    np.testing.assert_array_equal(
        tokenizer.tokens(np.array([[7], [8]], np.uint8)),
        [[4, 7, 0, 0, 0, 0, 0, 0], [4, 8, 0, 0, 1, 0, 0, 0]],
    )
    film = np.array([[[[1, 2, 3]], [[4, 5, 6]]], [[[7, 8, 9]], [[10, 11, 12]]]], np.uint8)
    np.testing.assert_array_equal(
        tokenizer.tokens(film),
        [
            [5, 1, 2, 3, 0, 0, 0, 0],
            [5, 4, 5, 6, 0, 1, 0, 0],
            [5, 7, 8, 9, 1, 0, 0, 0],
            [5, 10, 11, 12, 1, 1, 0, 0],
        ],
    )
    np.testing.assert_array_equal(
        tokenizer.tokens(Item("grey_video", film[..., 0, 0][..., None]))[:, :7],
        [
            [6, 1, 0, 0, 0, 0, 0],
            [6, 4, 0, 0, 0, 1, 0],
            [6, 7, 0, 0, 1, 0, 0],
            [6, 10, 0, 0, 1, 1, 0],
        ],
    )
    np.testing.assert_array_equal(
        tokenizer.tokens(np.array([0, -1, -32768], np.int16)),
        [[7, 128, 0, 0, 0, 0, 0, 0], [7, 127, 255, 0, 1, 0, 0, 0], [7, 0, 0, 0, 2, 0, 0, 0]],
    )
    np.testing.assert_array_equal(tokenizer.tokens("a", 2), [[1, 0, 0, 97, 0, 0, 0, 2]])
    np.testing.assert_array_equal(END_ROW, [9, 0, 0, 0, 0, 0, 0, 0])
    assert END_ROW.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        END_ROW[0] = 1


@pytest.mark.parametrize("name", FILMS_AND_PICTURES)
def test_pictures_and_films_come_back_from_any_order(name):
    tokenizer = ItemTokenizer()
    rows = tokenizer.tokens(ITEMS[name])
    same(tokenizer.item(RANDOM.permutation(rows)), ITEMS[name])


def test_count_makes_no_rows():
    tokenizer = ItemTokenizer(("the",))
    # seen once, these pixels take no memory; their rows would be 32 TB
    huge = np.broadcast_to(np.zeros((), np.uint8), (10**6, 10**6, 3))
    assert tokenizer.count(Item("image", huge)) == 10**12
    assert tokenizer.count(Item("grey_video", huge)) == 3 * 10**12
    assert tokenizer.count("the cats") == 6
    assert ItemTokenizer().count("the cats") == 8


def test_items_of_a_context():
    tokenizer = ItemTokenizer(("the",))
    inside = [Item("text", "the end"), ITEMS["image"], ITEMS["image"], ITEMS["audio"]]
    rows = [tokenizer.tokens(item, number) for number, item in enumerate(inside)]
    gap = np.zeros((2, 8), np.int32)
    context = np.concatenate([gap, rows[0], gap, *rows[1:], END_ROW[None], gap])
    back = tokenizer.items(context)
    assert len(back) == 4
    for one, other in zip(back, inside, strict=True):
        same(one, other)
    assert tokenizer.items(gap) == []
    assert tokenizer.items(END_ROW[None]) == []


def test_blanks_lie_where_the_units_will():
    tokenizer = ItemTokenizer()
    for item in ITEMS.values():
        shape = {"text": len, "audio": len}.get(item.kind, np.shape)(item.value)
        shape = shape[: len(modality(item.kind).coordinates)] if np.ndim(shape) else (shape,)
        rows, blanks = tokenizer.tokens(item, 4), tokenizer.masks(item.kind, shape, 4)
        assert blanks.dtype == np.int32
        assert blanks.shape == (math.prod(shape), 8)
        np.testing.assert_array_equal(blanks[:, 4:], rows[:, 4:])
        assert (blanks[:, 0] == modality("blank").index).all()
        assert (blanks[:, 1] == modality(item.kind).index).all()
        assert not blanks[:, 2:4].any()


@pytest.mark.parametrize(
    ("kind", "shape", "place"),
    [
        ("text", (5,), [5, 0, 0]),
        ("text", 0, [0, 0, 0]),
        ("audio", [3], [3, 0, 0]),
        ("grey", (2, 4), [2, 0, 0]),
        ("image", (3, 1), [3, 0, 0]),
        ("video", (2, 3, 4), [2, 0, 0]),
        ("grey_video", (6, 3, 4), [6, 0, 0]),
    ],
)
def test_the_blank_where_an_end_may_come(kind, shape, place):
    row = ItemTokenizer().end_mask(kind, shape, 6)
    assert row.dtype == np.int32
    assert row.tolist() == [8, modality(kind).index, 0, 0, *place, 6]


def test_places_that_only_fit_many_bits_allocate_nothing():
    tokenizer = ItemTokenizer()
    rows = tokenizer.tokens(ITEMS["video"])
    rows[-1, table.COORDINATES] = 2**31 - 1
    with pytest.raises(MdnnError, match="no token at the coordinates t 0, y 0, x 4"):
        tokenizer.item(rows)


def changed(name, row, column, value):
    rows = ItemTokenizer().tokens(ITEMS[name])
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.delete(ItemTokenizer().tokens(ITEMS["video"], 3), 17, axis=0),
            r"item 3 \(video\): no token at the coordinates t 1, y 1, x 1: 23 tokens of 2 x 3 x 4",
        ),
        (
            ItemTokenizer().tokens(ITEMS["image"])[:-1],
            r"no token at the coordinates y 2, x 1: 5 tokens of 3 x 2",
        ),
        (changed("image", 0, 4, 1), "two tokens at the coordinates y 1, x 0"),
        (changed("image", 1, 5, -1), "coordinates from 0 on; received y 0, x -1"),
        (changed("image", 2, 0, 4), "expected tokens of one kind, received image, grey"),
        (changed("image", 2, 0, 0), "expected tokens of one kind, received padding, image"),
        (changed("text", 1, 0, 7), "expected tokens of one kind, received text, audio"),
        (changed("image", 2, 0, 11), "item 0: expected a modality index of 0, 1, .*; received 11"),
        (changed("image", 2, 0, -1), "expected a modality index of 0, 1, .*; received -1"),
        (
            changed("image", 2, 3, 256),
            r"\(image\): byte 3 of token 2: expected 0 to 255, received 256",
        ),
        (changed("every grey", 9, 1, -1), "byte 1 of token 9: expected 0 to 255, received -1"),
        (changed("audio", 1, 2, 256), r"\(audio\): byte 2 of token 1.*received 256"),
        (changed("text", 1, 1, 17), "byte 1 of token 1: expected 0 to 16, received 17"),
        (changed("text", 1, 0, 2), r"item 0 \(text\): expected token ids .*\(0 words\)"),
        (changed("audio", 2, 7, 1), "the tokens of one item, received the items 0, 1"),
        (ItemTokenizer().masks("grey", (2, 2)), r"\(blank\): expected tokens of an item"),
        (END_ROW[None], r"\(end\): expected tokens of an item"),
        (END_ROW, r"integers \[n, 8\]; received int32 \[8\]"),
        (np.zeros((2, 8)), "received float64"),
    ],
)
def test_rows_that_are_no_item(rows, message):
    with pytest.raises(MdnnError, match=message):
        ItemTokenizer().item(rows)


def test_a_context_that_is_not_answered():
    tokenizer = ItemTokenizer()
    context = np.concatenate([tokenizer.tokens("ab"), tokenizer.masks("text", 3, 1)])
    with pytest.raises(
        MdnnError, match="position 2: expected items, received 3 mask tokens in 5 positions"
    ):
        tokenizer.items(context)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.tokens(Item("audio", np.ones(2, np.int16), rate=44_100, name="a.wav")),
            "a.wav: expected 8000 samples per second, received 44100",
        ),
        (lambda c: c.tokens("a", -1), "item number: .* received -1"),
        (lambda c: c.tokens(pixels(2, 2), 2**31), "item number: .* received 2147483648"),
        (lambda c: c.tokens(pixels(2, 2, 4)), r"an item: expected .* received an array uint8"),
        (lambda c: c.masks("film", (2, 2)), "unknown kind 'film'; known: text, image, grey"),
        (lambda c: c.masks("blank", (2,)), "unknown kind 'blank'"),
        (lambda c: c.end_mask("word", (2,)), "unknown kind 'word'"),
        (lambda c: c.masks("image", (2, 2, 3)), r"sizes of image: expected \(y, x\)"),
        (lambda c: c.masks("image", (2, 0)), "integers from 1 to 2147483647; received 0"),
        (lambda c: c.end_mask("audio", (0,)), "integers from 1 .* received 0"),
        (lambda c: c.end_mask("text", (2**31,)), "received 2147483648"),
        (lambda c: c.masks("grey", (2.0, 2)), r"received 2\.0"),
        (
            lambda c: ItemTokenizer(rate=0),
            "rate: expected samples per second, 1 or more; received 0",
        ),
    ],
)
def test_bad_requests(call, message):
    with pytest.raises(MdnnError, match=message):
        call(ItemTokenizer())
