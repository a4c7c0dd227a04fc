"""What a network is said to be, against counts by hand."""

import numpy as np
import pytest
from networks import make_config, mix, tiny

from mdnn import build
from mdnn.runs.inspection import network_facts, receptive_field

# 5 positions, 8 channels, 2 groups, inner width 12.
POSITIONS, WIDTH, INNER, CLASSES = 5, 8, 12, 17 + 256 + 256
GATED_MIX = (
    POSITIONS * WIDTH * 2 * WIDTH + POSITIONS * POSITIONS * WIDTH + POSITIONS * WIDTH * WIDTH
)
SWIGLU = POSITIONS * WIDTH * 2 * INNER + POSITIONS * INNER * WIDTH
HEADS = POSITIONS * WIDTH * CLASSES


def by_name(facts):
    return {layer["name"]: layer for layer in facts["layers"]}


def test_a_network_of_two_branches():
    mixing = mix({"wiring": "causal+shift", "groups": 2}, gate="silu")
    feeding = {"kind": "feedforward", "gate": "silu", "width": INNER}
    facts = network_facts(make_config(mixing, feeding, grid=(POSITIONS,), width=WIDTH))
    layers = by_name(facts)
    assert list(facts) == [
        "grid",
        "positions",
        "width",
        "parameters",
        "steps",
        "operations_per_position",
        "bytes_per_position",
        "receptive_field",
        "layers",
    ]
    assert (facts["grid"], facts["positions"], facts["width"]) == ([POSITIONS], POSITIONS, WIDTH)
    assert (facts["steps"], facts["receptive_field"]) == (1, POSITIONS)

    assert {name: layer["operations"] for name, layer in layers.items()} == {
        "tokens": 0,
        "targets": 0,
        "embedding": 0,
        "grid": 0,
        "block_0_mix": GATED_MIX,
        "block_0_feedforward": SWIGLU,
        "final_norm": 0,
        "positions": 0,
        "heads": HEADS,
    }
    assert facts["operations_per_position"] == (GATED_MIX + SWIGLU + HEADS) // POSITIONS

    assert {name: layer["parameters"] for name, layer in layers.items() if layer["parameters"]} == {
        "embedding": (17 + 256 + 256) * WIDTH,
        # norm, two dense, a kernel by distance for each of 2 groups
        "block_0_mix": WIDTH + 3 * WIDTH * WIDTH + 2 * (2 * POSITIONS - 1),
        "block_0_feedforward": WIDTH + 3 * WIDTH * INNER,
        "final_norm": WIDTH,
        # kernels, biases, and gates for one and two earlier bytes
        "heads": (WIDTH + 1) * CLASSES + (17 + 17 + 256) * WIDTH,
    }
    assert facts["parameters"] == sum(layer["parameters"] for layer in layers.values())
    assert layers["block_0_mix"]["kind"] == "MixingBlock"
    assert layers["block_0_mix"]["shape"] == [POSITIONS, WIDTH]
    assert layers["heads"]["shape"] == [POSITIONS, CLASSES]

    # embedding; norm, u and v, mixed, gated, out, sum; norm, u and v, gated, out, sum; norm; heads
    floats = WIDTH + 7 * WIDTH + (3 * WIDTH + 3 * INNER) + WIDTH + CLASSES
    assert facts["bytes_per_position"] == 4 * floats


def test_refeeding_costs_by_the_step():
    once = network_facts(tiny("text"))
    thrice = network_facts(tiny("text", "refeed.steps=3"))
    assert (once["steps"], thrice["steps"]) == (1, 3)
    assert thrice["parameters"] == once["parameters"]
    backbone = once["operations_per_position"] - HEADS // POSITIONS
    assert thrice["operations_per_position"] == 3 * backbone + HEADS // POSITIONS
    assert by_name(thrice)["refeed"]["operations"] == 3 * backbone * POSITIONS


@pytest.mark.parametrize(
    ("mixer", "operations"),
    [
        ({"sharing": "separate"}, 4 * 4 * 6),
        ({"kind": "conv", "window": 2}, 4 * 6 * 3),
        ({"kind": "local", "window": 2}, 4 * 6 * 3),
        ({"kind": "attention", "heads": 3}, 4 * 4 * 6 * 6 + 2 * 4 * 4 * 6),
    ],
    ids=str,
)
def test_mixers_are_counted(mixer, operations):
    config = make_config(mix(mixer, project=False, times=2), width=6)
    assert by_name(network_facts(config))["block_0_mix"]["operations"] == 2 * operations


LOCAL = {"kind": "local", "window": 2}


@pytest.mark.parametrize(
    ("branch", "grid", "expected"),
    [
        (mix(LOCAL), (9,), 3),
        (mix(LOCAL, stack=2), (9,), 5),
        (mix(LOCAL, times=2), (9,), 5),
        (mix(LOCAL, LOCAL), (9,), 3),
        (mix(LOCAL), (2,), 2),
        ({"kind": "linear"}, (9,), 1),
        (mix({}), (3, 3), 9),
        (mix({"axes": [2]}), (3, 3), 3),
        (mix({"wiring": "causal+shift"}), (40,), 40),
    ],
    ids=str,
)
def test_reach(branch, grid, expected):
    assert network_facts(make_config(branch, grid=grid))["receptive_field"] == expected


def test_reach_of_two_blocks():
    assert network_facts(make_config(mix(LOCAL), grid=(9,), depth=2))["receptive_field"] == 5


FOLD = {"kind": "fold", "width": 6, "block": [mix({})]}


def test_a_fold():
    config = make_config(FOLD, mix({"axes": [2]}), grid=(3, 2))
    facts = network_facts(config)
    # 3 rows of 8 values: folded, mixed inside (two dense layers and the rows), moved on, spread.
    inner = 3 * 2 * 6 * 6 + 3 * 3 * 6
    assert by_name(facts)["block_0_fold"]["operations"] == 3 * (8 * 6 + 6 * 6 + 6 * 8) + inner
    assert by_name(facts)["block_0_fold"]["shape"] == [3, 2, 4]
    assert facts["receptive_field"] == 6
    # Nothing of the last position's own row but itself.
    assert network_facts(make_config(FOLD, grid=(3, 2)))["receptive_field"] == 5
    whole = {"steps": 1, "objectives": {"autoregressive": 0, "masked_diffusion": 1}}
    facts = network_facts(make_config(FOLD, grid=(3, 2), train=whole))
    assert by_name(facts)["block_0_fold"]["operations"] == 3 * (96 + 2 * 36) + inner
    assert facts["receptive_field"] == 6


@pytest.mark.parametrize("modality", ["image", "grey", "audio", "grey_video"])
def test_reach_of_other_modalities(modality):
    tables = {
        "tokens": {"modalities": [modality]},
        "context": {"grid": [9], "layout": "items"},
    }
    assert network_facts(make_config(mix(LOCAL), **tables))["receptive_field"] == 3


def test_reach_of_a_long_context_is_sampled():
    """Of 40 positions 10 are tried, evenly, the last one among them."""
    config = make_config(mix({"axes": [2]}), grid=(4, 10))
    assert receptive_field(build(config), config) == 10
    # positions 0, 4, 8, ... 39: three are in the last row
    assert receptive_field(build(config), config, most=10) == 3 * 40 // 10


def test_words_are_made_up_where_there_are_none():
    config = tiny("text", "tokens.modalities=['text', 'word']", "tokens.words=120")
    facts = network_facts(config)
    words = ("the", "cat")
    assert facts["parameters"] - network_facts(config, words)["parameters"] == 118 * WIDTH
    model = build(config, words)
    assert network_facts(config, words, model)["parameters"] == model.count_params()


def test_numbers_are_plain():
    facts = network_facts(tiny("text"))
    assert {type(value) for value in facts.values()} == {int, list}
    numbers = [n for layer in facts["layers"] for n in (layer["parameters"], *layer["shape"])]
    assert all(isinstance(n, int) and not isinstance(n, np.integer) for n in numbers)
