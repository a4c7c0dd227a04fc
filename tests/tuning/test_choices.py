"""What `--try` reads, and what it refuses."""

import pytest
import tiny

import mdnn
from mdnn.tuning.choices import check_choices, num_combinations, parse_choice, value_texts


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("backbone.depth=4,6", "backbone.depth", ["4", "6"]),
        ("context.grid=[16,32],[512]", "context.grid", ["[16,32]", "[512]"]),
        ('data.source="a,b.txt",c=d.txt', "data.source", ['"a,b.txt"', "c=d.txt"]),
        (" x = {a=1,b=2} , {a=2} ", "x", ["{a=1,b=2}", "{a=2}"]),
    ],
)
def test_values_are_split_at_commas_outside_brackets_and_quotes(text, key, values):
    assert parse_choice(text) == (key, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("backbone.depth", "expected KEY=A,B,C, received 'backbone.depth'"),
        ("=1,2", "expected KEY=A,B,C"),
        ("backbone.depth=4", "expected 2 to 100 values separated by commas, received '4'"),
        ("backbone.depth=4,", "expected 2 to 100 values separated by commas, received '4,'"),
        ("backbone.depth=4,4", "expected no duplicate values, received '4,4'"),
        ("context.grid=[8],[2,4", r"expected closed brackets and quotes, received '\[8\],\[2,4'"),
    ],
)
def test_what_is_no_choice_is_refused(text, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        parse_choice(text)


def test_values_of_python_are_those_of_the_command_line():
    values = {"context.grid": [[16, 32], [512]], "train.xla": [True, False], "x": ["a", "b"]}
    assert value_texts(values) == {
        "context.grid": ["[16, 32]", "[512]"],
        "train.xla": ["true", "false"],
        "x": ["a", "b"],
    }
    with pytest.raises(mdnn.MdnnError, match="expected at least one key to try"):
        value_texts({})


def test_values_are_checked_beside_the_others(tmp_path):
    path = tiny.write_config(tmp_path)
    choices = {"backbone.width": ["16", "32"], "context.grid": ["[8]", "[2,4]"]}
    check_choices(path, [], choices)
    assert num_combinations(choices) == 4
    with pytest.raises(mdnn.MdnnError, match=r"^backbone\.dept=1: .*did you mean 'depth'"):
        check_choices(path, [], choices | {"backbone.dept": ["1", "2"]})
    with pytest.raises(mdnn.MdnnError, match=r"^backbone\.depth=x: .*backbone.depth"):
        check_choices(path, [], choices | {"backbone.depth": ["1", "x"]})
