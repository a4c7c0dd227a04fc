"""Axes by their names: in configs, and in the names of weights."""

import tomllib

import pytest
from backends import to_numpy
from networks import make_config, mix

from mdnn import Config, MdnnError, build

FOLD = {"kind": "fold", "width": 6, "block": [mix({"groups": 2}), mix({"axes": ["row"]})]}
MIXED = mix(
    {},
    {"axes": ["column"]},
    {"axes": ["channels"], "sharing": "shared"},
    {"kind": "conv", "window": 1, "axes": ["row"]},
)


def axes_of(config):
    return [mixer.axes for mixer in config.backbone.layer[0].mixer]


def weights(*blocks, **tables):
    return {w.path: to_numpy(w) for w in build(make_config(*blocks, **tables)).weights}


def test_names_stand_for_numbers():
    names = {"grid": [3, 2, 4], "axes": ["page", "word", "letter"]}
    blocks = mix({"axes": ["word"]}, {"axes": ["page", "letter"]}, {"axes": [2]})
    config = make_config(blocks, context=names)
    assert axes_of(config) == [(2,), (1, 3), (2,)]
    again = tomllib.loads(config.to_toml())
    assert again["backbone"]["layer"][0]["mixer"][1]["axes"] == ["page", "letter"]
    assert Config.from_dict(again) == config
    # Without names in the config: numbers are written, the default names are known.
    config = make_config(mix({"axes": ["row"]}, {"axes": ["plane"]}), grid=(3, 2, 4))
    assert axes_of(config) == [(2,), (1,)]
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config


def test_default_names_are_counted_from_the_fastest_axis():
    for rank, names in ((1, ("column",)), (4, ("axis_4", "plane", "row", "column"))):
        assert make_config(mix({}), grid=(2,) * rank).context.axis_names == names


def test_weights_are_named_by_axes():
    found = [path for path in weights(FOLD, MIXED, grid=(3, 2)) if "kernel_" in path]
    inner, mixed = "block_0_fold/block_0_", "block_0_mix/mixer_0_"
    assert [path for path in found if "byte" not in path] == [
        f"{inner}mix/mixer_0_0/kernel_row",
        f"{inner}mix_2/mixer_0_0/kernel_row",
        f"{mixed}0/kernel_column_of_row",
        f"{mixed}0/kernel_row",
        f"{mixed}0/kernel_column",
        f"{mixed}1/kernel_column",
        f"{mixed}2/kernel_channels",
    ]


def test_a_slower_axis_and_more_blocks_rename_nothing():
    small = weights(FOLD, MIXED, grid=(3, 2))
    slower = weights(FOLD, MIXED, grid=(2, 3, 2))
    assert small.keys() < slower.keys()
    more = weights(
        {"kind": "feedforward"}, FOLD, MIXED, {"kind": "linear"}, mix({}), grid=(3, 2), depth=2
    )
    assert small.keys() < more.keys()
    named = weights({**FOLD, "name": "rows"}, MIXED, grid=(3, 2))
    assert {path.replace("_rows/", "_fold/") for path in named} == small.keys()


@pytest.mark.parametrize(
    ("context", "block", "message"),
    [
        ({"axes": ["row"]}, mix({}), r"context.axes: expected a name for each of the 2 axes"),
        ({"axes": ["row", "row"]}, mix({}), "context.axes: expected different names .* 'row'"),
        ({"axes": ["row", "Col"]}, mix({}), "context.axes: expected different names .* 'Col'"),
        ({"axes": ["row", "channels"]}, mix({}), "other than 'channels' .* received 'channels'"),
        ({}, mix({"axes": ["colum"]}), r"layer.0.mixer.0.axes: .* \(did you mean 'column'\?\)"),
        ({}, mix({"axes": ["plane"]}), "unknown axis 'plane'; known: row, column, channels"),
        (
            {},
            {**FOLD, "block": [mix({"axes": ["column"]})]},
            "layer.0.block.0.mixer.0.axes: unknown axis 'column'; known: row, channels",
        ),
        ({}, mix({}, name="No"), r"backbone.layer.\*.name: expected different names .* 'No'"),
    ],
)
def test_names_that_there_are_not(context, block, message):
    with pytest.raises(MdnnError, match=message):
        make_config(block, context={"grid": [3, 2], **context})


def test_two_layers_of_one_name():
    with pytest.raises(MdnnError, match=r"name: expected different names .* received 'a'"):
        make_config(mix({}, name="a"), mix({}, name="a"))
