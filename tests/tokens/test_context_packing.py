"""One item in a context."""

import numpy as np
import pytest

from mdnn.errors import MdnnError
from mdnn.tokens.context import pack, random_runs, unpack
from mdnn.tokens.text import TextCodec


def rows(text):
    codec = TextCodec()
    return codec.tokens(codec.units(text))


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
    with pytest.raises(MdnnError, match="item of 4 units does not fit a context of 3 slots"):
        pack(rows("abcd"), 3)
    with pytest.raises(MdnnError, match=r"3 units after 1 of padding does not fit .* 3 slots"):
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
