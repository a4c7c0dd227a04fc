"""TOML to dataclasses and back, on a schema of the test's own."""

import dataclasses
import tomllib

import pytest

from mdnn.config.load import Config
from mdnn.config.schema import dump, option, parse
from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class Leaf:
    word: str
    share: float = option(0.5, least=0.0, most=1.0)


@dataclasses.dataclass(frozen=True)
class Tree:
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    sizes: tuple[int, ...] = option((1,), least=1, most=9)
    names: tuple[str, ...] = ()
    count: int | None = option(None, least=2)
    flag: bool = False


WHOLE = Tree(Leaf("a", 0.25), (Leaf("b"), Leaf("c", 1e-5)), (2, 3), ("x", "y"), 4, True)


def test_parse():
    table = tomllib.loads("""
        sizes = [2, 3]
        names = ["x", "y"]
        count = 4
        flag = true
        leaf = {word = "a", share = 0.25}
        [[leaves]]
        word = "b"
        [[leaves]]
        word = "c"
        share = 1e-5
    """)
    assert parse(Tree, table) == WHOLE
    assert parse(Leaf, {"word": "a", "share": 1}).share == 1.0
    assert type(parse(Leaf, {"word": "a", "share": 1}).share) is float


@pytest.mark.parametrize("tree", [WHOLE, Tree(Leaf("a")), Tree(Leaf("a"), sizes=())])
def test_dump_is_parsed_to_the_same(tree):
    assert parse(Tree, tomllib.loads(dump(tree))) == tree


@pytest.mark.parametrize(
    "word", ['"', "\\", "a\nb\tc\r", "\x00\x1f\x7f", "naïve 日本 😀", "'''", "", " x ", "#"]
)
def test_dump_of_texts(word):
    assert parse(Leaf, tomllib.loads(dump(Leaf(word)))).word == word


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "missing key 'leaf'"),
        ({"leaf": {}}, "missing key 'leaf.word'"),
        ({"leaf": 3}, "leaf: expected a table, received 3"),
        ({"leaves": {"word": "a"}}, "leaves: expected a list, received {'word': 'a'}"),
        ({"leaves": [3]}, "leaves.0: expected a table, received 3"),
        ({"leaves": [{"word": "a"}, {}]}, "missing key 'leaves.1.word'"),
        ({"leaves": [{"ward": "a"}]}, "unknown key 'leaves.0.ward' (did you mean 'word'?)"),
        ({"zzz": 1}, "unknown key 'zzz'"),
        ({"sizes": [1, 10]}, "sizes.1: expected between 1 and 9, received 10"),
        ({"sizes": [1, 2.0]}, "sizes.1: expected a whole number, received 2.0"),
        ({"names": ["a", 2]}, "names.1: expected a string, received 2"),
        ({"names": "ab"}, "names: expected a list, received 'ab'"),
        ({"count": 1}, "count: expected at least 2, received 1"),
        ({"count": True}, "count: expected a whole number, received True"),
        ({"flag": 1}, "flag: expected true or false, received 1"),
        ({"leaf": {"word": "a", "share": 10**400}}, "leaf.share: expected a finite number"),
    ],
)
def test_errors(table, message):
    with pytest.raises(MdnnError) as error:
        parse(Tree, table)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_tables_can_be_added_to_what_is_written():
    """No `name = []` stands in the way of a `[[name]]` after it."""
    config = Config.from_dict({"backbone": {"layer": [{"kind": "linear"}]}, "train": {"steps": 1}})
    text = config.to_toml() + '[[data.mix]]\nsource = "a"\n[[train.stage]]\nat = 0.5\n'
    text += "limits.layers = 20_000\n"
    found = Config.from_dict(tomllib.loads(text))
    assert [mixed.source for mixed in found.data.mix] == ["a"]
    assert [stage.at for stage in found.train.stage] == [0.5]
