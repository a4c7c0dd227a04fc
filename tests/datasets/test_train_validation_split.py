"""Which lines and alternatives train and which validate."""

import pytest

from mdnn.datasets.items.train_validation_split import SourceExample, SourcePart, split_lines
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item


def part(values, split=None, splits=None):
    return SourcePart(tuple(Item("text", value) for value in values), split, splits)


def values(lines):
    return [["".join(item.value for item in part) for part in line.parts] for line in lines]


def divide(*lines, validation=0.25, seed=1):
    lines = [
        line if isinstance(line, SourceExample) else SourceExample(line, "x") for line in lines
    ]
    return split_lines(lines, validation, seed, "it")


def test_alternatives_are_divided_and_single_ones_are_on_both_sides():
    train, held = divide((part("w"), part("abcdefgh")), (part("v"), part("ijkl")))
    assert [line[0] for line in values(train)] == [line[0] for line in values(held)] == ["w", "v"]
    sizes = [[len(line[1]) for line in values(side)] for side in (train, held)]
    assert sizes == [[6, 3], [2, 1]]
    for one, two, all_of in zip(values(train), values(held), ("abcdefgh", "ijkl"), strict=True):
        assert sorted(one[1] + two[1]) == sorted(all_of)


def test_two_parts_of_a_line_are_divided_on_their_own():
    found = {
        tuple(
            "".join(sorted(p)) for p in values(divide((part("abcd"), part("abcd")), seed=s)[1])[0]
        )
        for s in range(12)
    }
    assert any(one != two for one, two in found)


@pytest.mark.parametrize(("share", "held"), [(0.01, 1), (0.5, 2), (0.99, 3)])
def test_either_side_gets_at_least_one(share, held):
    train, aside = divide((part("abcd"), part("w")), validation=share)
    assert (len(values(train)[0][0]), len(values(aside)[0][0])) == (4 - held, held)


def test_lines_without_alternatives_are_divided_as_lines():
    lines = [(part(a), part(a.upper())) for a in "abcdefghijkl"]
    train, held = divide(*lines)
    assert len(train) == 9
    assert len(held) == 3
    assert sorted(values(train) + values(held)) == [[a, a.upper()] for a in "abcdefghijkl"]
    # the order is the source's
    assert values(train) == sorted(values(train))
    assert values(held) != values(divide(*lines, seed=2)[1])


def test_a_line_with_a_side_is_there_whole():
    train, held = divide(
        SourceExample((part("abcd"), part("w")), "x", "validation"),
        SourceExample((part("efgh"), part("v")), "y", "train"),
    )
    assert (values(train), values(held)) == ([["efgh", "v"]], [["abcd", "w"]])


def test_parts_with_a_side():
    # by speaker: the word, one speaker's sounds to train, another's to validate
    train, held = divide((part("w"), part("ab", "train"), part("cd", "validation"), part("ef")))
    assert values(train)[0][:2] == ["w", "ab"]
    assert values(held)[0][:2] == ["w", "cd"]
    assert sorted(values(train)[0][2] + values(held)[0][2]) == ["e", "f"]


def test_a_line_of_which_one_part_is_left_is_left_out():
    train, held = divide((part("w"), part("ab", "train")), (part("v"), part("cd")))
    assert [line[0] for line in values(train)] == ["w", "v"]
    assert [line[0] for line in values(held)] == ["v"]


def test_sides_that_the_source_says():
    sides = ("train", "validation", "validation", "train")
    train, held = divide((part("w"), part("abcd", None, sides)))
    assert (values(train), values(held)) == ([["w", "ad"]], [["w", "bc"]])
    # the part's own word goes before
    train, held = divide((part("w"), part("abcd", "train", sides)), (part("v"), part("ef")))
    assert values(train)[0] == ["w", "abcd"]


def test_a_share_of_nothing():
    assert [len(side) for side in divide((part("ab"), part("w")), validation=0)] == [1, 0]
    lines = SourceExample((part("a"),), "x", "validation"), SourceExample((part("b"),), "y")
    assert [values(side) for side in divide(*lines, validation=0)] == [[["b"]], [["a"]]]


def test_a_side_that_has_nothing():
    with pytest.raises(
        MdnnError, match=r"it: expected .* received 1 lines, .* left for validation"
    ):
        divide((part("a"), part("b")))
    with pytest.raises(MdnnError, match="none is left for train"):
        divide(SourceExample((part("a"),), "x", "validation"))
