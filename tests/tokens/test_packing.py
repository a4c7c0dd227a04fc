"""Items in a context."""

import numpy as np
import pytest

from mdnn.errors import MdnnError
from mdnn.tokens import Item, ItemTokenizer
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.packing import pack, pack_items, random_runs, unpack


def rows(text):
    tokenizer = TextTokenizer()
    return tokenizer.tokens(tokenizer.ids(text))


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_padding_lies_before_and_after(offset):
    item = rows("ab")
    context = pack(item, 5, offset)
    assert context.shape == (5, 8)
    assert context.dtype == np.int32
    np.testing.assert_array_equal(context[offset : offset + 2], item)
    assert not np.delete(context, [offset, offset + 1], axis=0).any()
    np.testing.assert_array_equal(unpack(context), item)


def test_empty_and_full_contexts():
    assert not pack(rows(""), 3).any()
    np.testing.assert_array_equal(pack(rows("abc"), 3), rows("abc"))


def test_what_does_not_fit():
    with pytest.raises(MdnnError, match="item of 4 tokens does not fit a context of 3 positions"):
        pack(rows("abcd"), 3)
    with pytest.raises(MdnnError, match=r"3 tokens after 1 of padding does not fit .* 3 positions"):
        pack(rows("abc"), 3, offset=1)
    with pytest.raises(MdnnError, match="received -1"):
        pack(rows("a"), 3, offset=-1)
    with pytest.raises(MdnnError, match=r"received shape \(8,\)"):
        pack(rows("a")[0], 3)


def test_random_runs_take_every_length_and_place_equally_often():
    bits = np.random.Philox(key=1).random_raw(24_000).reshape(-1, 2)
    run, offset = random_runs(bits, 6, 3)
    places = {(r, o) for r in range(3, 7) for o in range(6 - r + 1)}
    assert set(zip(run.tolist(), offset.tolist(), strict=True)) == places
    for length in range(3, 7):
        assert np.mean(run == length) == pytest.approx(1 / 4, abs=0.02)
        for place in range(6 - length + 1):
            share = np.mean(offset[run == length] == place)
            assert share == pytest.approx(1 / (6 - length + 1), abs=0.04)


def items(*texts):
    return [rows(text) for text in texts]


@pytest.mark.parametrize("offset", [0, 2])
def test_items_follow_one_another_and_an_end_follows_the_last(offset):
    context, spans = pack_items(items("ab", "", "cde"), 9 + offset, offset)
    assert context.shape == (9 + offset, 8)
    assert context.dtype == np.int32
    assert spans == [(offset, offset + 2), (offset + 2, offset + 2), (offset + 2, offset + 5)]
    assert not context[:offset].any()
    assert not context[offset + 6 :].any()
    inside = context[offset : offset + 5]
    np.testing.assert_array_equal(inside[:, :7], np.concatenate(items("ab", "cde"))[:, :7])
    assert inside[:, 7].tolist() == [0, 0, 2, 2, 2]
    assert context[offset + 5].tolist() == [9, 1, 0, 0, 0, 0, 0, 0]


def test_items_begin_at_multiples_of_align():
    context, spans = pack_items(items("ab", "cdef", "g"), 16, offset=4, align=4)
    assert spans == [(4, 6), (8, 12), (12, 13)]
    assert np.flatnonzero(context[:, 0]).tolist() == [4, 5, 8, 9, 10, 11, 12, 13]
    assert context[13, 0] == 9
    # the rows that are handed in stay as they are
    source = rows("ab")
    pack_items([rows("c"), source], 8)
    assert not source[:, 7].any()


def test_an_end_names_what_it_ends():
    tokenizer = ItemTokenizer()
    grey = tokenizer.tokens(Item("grey", np.zeros((1, 2), "uint8")))
    for last, kind in ((grey, 4), (rows("a"), 1), (rows(""), 0)):
        assert pack_items([rows("b"), last], 8)[0][:, :2].tolist().count([9, kind]) == 1


def test_an_item_that_does_not_fit_is_named():
    with pytest.raises(
        MdnnError, match=r"^item 2 of 3: 3 tokens from position 4 on do not fit .* 6 "
    ):
        pack_items(items("abc", "def", "g"), 6, align=2)
    message = (
        r"^b.wav: 3 tokens from position 3 on and the end token do not fit a context of 6 positions"
    )
    with pytest.raises(MdnnError, match=message):
        pack_items(items("abc", "def"), 6, names=["a.wav", "b.wav"])
    assert pack_items(items("abc", "def"), 7)[0][6, 0] == 9
    # a name that is missing is a number
    with pytest.raises(MdnnError, match=r"^item 1 of 1: 3 tokens"):
        pack_items(items("abc"), 3, names=[""])


@pytest.mark.parametrize(
    ("length", "spans", "end"),
    [
        (8, [(0, 3), (4, 7)], True),
        (7, [(0, 3), (4, 7)], False),
        (5, [(0, 3), (4, 5)], False),
        (4, [(0, 3), (4, 4)], False),
        (2, [(0, 2), (2, 2)], False),
    ],
)
def test_cutting_where_it_is_allowed(length, spans, end):
    context, received = pack_items(items("abc", "def"), length, align=4, truncate=True)
    assert received == spans
    assert (9 in context[:, 0]) == end
    whole, _ = pack_items(items("abc", "def"), 8, align=4)
    np.testing.assert_array_equal(context, whole[:length])


def test_items_that_are_refused():
    with pytest.raises(MdnnError, match="multiple of align = 4; received 6"):
        pack_items(items("a"), 16, offset=6, align=4)
    with pytest.raises(MdnnError, match="received -4"):
        pack_items(items("a"), 16, offset=-4, align=4)
    with pytest.raises(MdnnError, match="align must be at least 1; received 0"):
        pack_items(items("a"), 16, align=0)
    with pytest.raises(MdnnError, match="at least one item"):
        pack_items([], 16)
    with pytest.raises(MdnnError, match=r"item 1 of 1: expected tokens \[n, 8\]"):
        pack_items([rows("a")[0]], 16)
