"""Keys that change nothing without others are refused by name, in one line."""

import pytest
from networks import CONFIGS

import mdnn
from mdnn.config.key_rules import NEEDS
from mdnn.config.load import Config

# A value for each key of `NEEDS` that is not its default.
OTHERS = {
    "train.partial.blocks": "2",
    "train.partial.every": "5",
    "train.blind.pairs": "4",
    "train.blind.sigma": "0.1",
    "train.blind.rank": "2",
    "train.blind.weights": "int8",
    "refeed.halt_weight": "0.1",
    "refeed.halt_exploration_prob": "0.2",
    "refeed.steps_by_length.least": "2",
    "refeed.steps_by_length.most": "2",
    "tandem.exchange_from": "0.3",
    "tandem.exchange_full": "0.5",
    "tokens.letters": "4",
    "tokens.subword_kind": "sentencepiece",
}

# Another config than text-grid.toml, and what makes a key known there.
PUZZLE = ("sudoku-4x4", "refeed.supervision_steps=1", "refeed.step_schedule=fixed")
BESIDE = {
    "refeed.halt_exploration_prob": PUZZLE,
    "tandem.exchange_from": ("text-grid", "tandem.members=2"),
    "tandem.exchange_full": ("text-grid", "tandem.members=2"),
}

THERE = {
    "train.partial.blocks": ("train.partial.select=top",),
    "train.partial.every": ("train.partial.select=random",),
    "train.blind": ("train.method=blind",),
    "refeed.halt": ("refeed.supervision_steps=2", "refeed.step_schedule=halt"),
    "refeed.steps_by_length": (
        "refeed.step_schedule=length",
        "refeed.steps=4",
        "refeed.steps_by_length.per_given=1",
        "backbone.layer.0.dropout=0",
        "backbone.layer.1.dropout=0",
    ),
    "tandem": ("tandem.exchange=1",),
    "tokens.letters": ("tokens.words=9", 'tokens.modalities=["text", "word"]'),
    "tokens.subword_kind": ("tokens.subwords=300", 'tokens.modalities=["subword"]'),
}
"""What makes a key, or those that begin so, count."""


def load(key, *settings):
    name, *beside = BESIDE.get(key, ("text-grid",))
    return mdnn.load_config(CONFIGS / f"{name}.toml", [*beside, *settings])


@pytest.mark.parametrize(
    ("key", "need"), [(key, need) for keys, need, _ in NEEDS for key in keys], ids=str
)
def test_a_key_that_changes_nothing(key, need):
    setting = f"{key}={OTHERS[key]}"
    with pytest.raises(mdnn.MdnnError) as error:
        load(key, setting)
    assert f"toml: {key}: changes nothing without {need}: expected " in str(error.value)
    there = next(settings for beginning, settings in THERE.items() if key.startswith(beginning))
    assert load(key, *there, setting) != load(key, *there)


MIX = {"kind": "mix", "mixer": [{}]}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"kind": "feedforward", "project": False}, ".project: not a key of kind = 'feedforward'"),
        ({"kind": "feedforward", "stack": 2}, ".stack: not a key of kind = 'feedforward'"),
        ({"kind": "linear", "times": 2}, ".times: not a key of kind = 'linear'"),
        ({"kind": "linear", "gate": "silu"}, ".gate: not a key of kind = 'linear'"),
        ({"kind": "linear", "width": 8}, ".width: not a key of kind = 'linear'"),
        ({**MIX, "depth": 2}, ".depth: only a key of a fold or chunks, received kind = 'mix'"),
        (
            {**MIX, "gate": "silu", "activation": "relu"},
            ".activation: the gate is the nonlinearity of this layer: expected 'none' with gate = "
            "'silu', received 'relu'",
        ),
        (
            {**MIX, "mixer": [{"order": "descending"}]},
            ".mixer.0.order: an order of axes needs execution = 'sequential'",
        ),
        ({**MIX, "mixer": [{"seed": 3}]}, ".mixer.0.seed: expected 0 without 'random' wiring"),
    ],
    ids=str,
)
def test_keys_of_layers(layer, message):
    assert refused(layer).startswith(f"backbone.layer.0{message}")


def refused(layer):
    """The message with which a config of one layer is refused."""
    with pytest.raises(mdnn.MdnnError) as error:
        Config.from_dict(
            {
                "context": {"grid": [2, 4]},
                "backbone": {"width": 8, "layer": [layer]},
                "train": {"steps": 1},
            }
        )
    return str(error.value)


def test_keys_of_layers_inside_a_fold():
    inner = {**MIX, "gate": "silu", "activation": "relu"}
    message = refused({"kind": "fold", "width": 4, "block": [inner]})
    assert message.startswith("backbone.layer.0.block.0.activation: the gate is the nonlinearity")


def test_a_gate_and_an_activation_of_several_runs():
    """The activation follows each run but the last one, whose nonlinearity is the gate."""
    layer = {**MIX, "gate": "silu", "activation": "relu", "times": 2}
    backbone = {"width": 8, "layer": [layer]}
    assert Config.from_dict({"backbone": backbone, "train": {"steps": 1}}).backbone.layer


def test_the_top_blocks_take_no_turns():
    with pytest.raises(mdnn.MdnnError, match=r"every: changes nothing without .* = 'random'"):
        load("", "train.partial.select=top", "train.partial.every=5")
