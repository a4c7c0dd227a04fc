"""Lines: their draws, the digits, the kinds that are taken, and sources that are none."""

import collections
import itertools
import sys

import numpy as np
import pytest

from mdnn.datasets import open_dataset
from mdnn.datasets.items.digits import WORDS, grey_levels
from mdnn.datasets.items.example import Example
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item


def text(value):
    return Item("text", value)


def grey(value):
    return Item("grey", np.full((1, 1), value, np.uint8))


def sound(value):
    return Item("audio", np.full(1, value, np.int16))


LINE = Example(
    ((text("a"),), (grey(1), grey(2), grey(3)), (text("b"), text("c")), (sound(1),)), "the line"
)


def value(item):
    return item.value if item.kind == "text" else int(item.value.flat[0])


def draws(line, order, number=600):
    bits = np.random.Philox(key=3).random_raw(number * line.draws).reshape(number, -1)
    drawn = [line.draw(row, order) for row in bits]
    assert all(answer == len(items) - 1 for items, answer in drawn)
    return collections.Counter(tuple(value(item) for item in items) for items, _ in drawn)


def expect_even(counts, outcomes):
    """Every outcome comes about as often as any other."""
    assert set(counts) == set(outcomes)
    mean = counts.total() / len(outcomes)
    assert all(abs(count - mean) < 6 * mean**0.5 for count in counts.values()), counts


def test_given_order_draws_every_alternative():
    expect_even(draws(LINE, "given"), set(itertools.product("a", (1, 2, 3), "bc", (1,))))


def test_any_order_draws_every_permutation():
    line = Example(((text("a"),), (grey(1),), (grey(2),), (sound(3),)))
    expect_even(draws(line, "any", 2400), set(itertools.permutations(("a", 1, 2, 3))))
    assert LINE.draw([0, 0, 0, 0, 9, 7, 8, 1], "any")[0][0].kind == "audio"


def test_pairs_are_of_two_kinds_in_both_orders():
    line = Example(((text("a"),), (grey(1),), (text("b"),), (sound(2),)))
    pairs = [("a", 1), ("a", 2), (1, "b"), (1, 2), ("b", 2)]
    expect_even(draws(line, "pairs"), {*pairs, *(pair[::-1] for pair in pairs)})


def test_an_order_of_its_own_comes_before_the_one_that_is_asked_for():
    parts = ((text("a"),), (grey(1),))
    for order in ("given", "any", "pairs"):
        assert set(draws(Example(parts, order="given"), order)) == {("a", 1)}
        assert set(draws(Example(parts, order="pairs"), order)) == {("a", 1), (1, "a")}
    with pytest.raises(MdnnError, match="b: expected an order: given, any, pairs; received 'each'"):
        Example(parts, "b", "each")
    with pytest.raises(MdnnError, match="c: a pair needs items of two kinds, received text"):
        Example(parts[:1], "c", "pairs")


def test_grey_and_coloured_pictures_are_no_pair():
    line = Example(((grey(1),), (Item("image", np.zeros((1, 1, 3), np.uint8)),)), "two pictures")
    with pytest.raises(MdnnError, match="two pictures: a pair needs items of two kinds, received"):
        line.draw([1, 2, 3, 4], "pairs")


def test_a_draw_is_a_function_of_its_bits_alone():
    bits = np.random.Philox(key=4).random_raw(LINE.draws)
    for order in ("given", "any", "pairs"):
        one, two = (LINE.draw(bits, order)[0] for _ in range(2))
        assert all(a is b for a, b in zip(one, two, strict=True))
        # more bits than needed change nothing
        assert LINE.draw([*bits, 5], order)[0][-1] is one[-1]


def test_bad_lines_orders_and_bits():
    with pytest.raises(MdnnError, match=r"odd: expected parts of at least one item each.*\[1, 0\]"):
        Example(((text("a"),), ()), "odd")
    with pytest.raises(MdnnError, match="expected parts of at least one item"):
        Example(())
    with pytest.raises(MdnnError, match="expected an order: given, any, pairs; received 'each'"):
        LINE.draw(np.zeros(8, np.uint64), "each")
    with pytest.raises(MdnnError, match="the line: a draw takes 8 numbers, received 7"):
        LINE.draw(np.zeros(7, np.uint64))


def test_digits_are_all_there_once():
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    splits = open_dataset("digits", validation=0.2, seed=5)
    pictures = []
    for digit, (train, held) in enumerate(zip(splits.train, splits.validation, strict=True)):
        assert train.parts[0][0].value == held.parts[0][0].value == WORDS[digit]
        assert train.kinds == held.kinds == ("text", "image")
        count = int((data.target == digit).sum())
        assert len(held.parts[1]) == round(count * 0.2)
        assert len(train.parts[1]) == count - len(held.parts[1])
        pictures += [(item.value.tobytes(), digit) for item in train.parts[1] + held.parts[1]]
    expected = zip(
        (grey_levels(image).tobytes() for image in data.images), data.target, strict=True
    )
    assert collections.Counter(pictures) == collections.Counter(expected)


def test_the_seed_chooses_the_split():
    pytest.importorskip("sklearn")

    def held(seed):
        return [
            item.name
            for line in open_dataset("digits", 0.1, seed).validation
            for item in line.parts[1]
        ]

    assert held(1) == held(1) != held(2)


def test_grey_levels():
    levels = np.arange(17.0)
    assert grey_levels(levels).dtype == np.uint8
    assert (grey_levels(levels)[0], grey_levels(levels)[16]) == (0, 255)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MdnnError, match=r"'digits' needs scikit-learn .*pip install 'mdnn\[digits"):
        open_dataset("digits")


def test_kinds_that_are_not_taken():
    pytest.importorskip("sklearn")
    assert len(open_dataset("digits", kinds=("text", "grey", "audio")).train) == 10
    with pytest.raises(MdnnError, match=r"digits \d+ \(zero\): expected .* text, audio, received"):
        open_dataset("digits", kinds=("text", "audio"))


def test_sources_that_are_none(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(MdnnError, match=r"the folder '.*' needs a manifest.jsonl that says which"):
        open_dataset(tmp_path)
    for source in ("python-docs", tmp_path / "a.txt"):
        with pytest.raises(MdnnError, match=r"source of items: digits, .* is a text"):
            open_dataset(source)
    for source in ("", "digit", tmp_path / "none.jsonl"):
        with pytest.raises(MdnnError, match=r"source of items: digits, .*; received"):
            open_dataset(source)
    with pytest.raises(MdnnError, match="validation must be at least 0 and below 1; received 1"):
        open_dataset("digits", validation=1)
