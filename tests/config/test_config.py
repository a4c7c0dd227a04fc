"""Configs: every key, every limit, every pair of keys that do not go together."""

import dataclasses
import datetime
import os
import re
import tomllib
import typing
from pathlib import Path

import pytest

from mdnn.config import data_tables, network_tables, tandem_tables, training_tables
from mdnn.config import load as configs
from mdnn.config.embedding_table import EmbeddingSizes
from mdnn.config.load import Config, load_config
from mdnn.errors import MdnnError
from mdnn.layers.mixing import MIXERS, Mixer
from mdnn.tokens.spectrum import Spectrum

SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))

TEXT = """
[[backbone.layer]]
[[backbone.layer.mixer]]
[train]
steps = 5
"""

# Every list holds something, so that every key can be set.
ALL_LISTS = """
[[backbone.layer]]
[[backbone.layer.mixer]]
[[backbone.layer.block]]
[[backbone.layer.block.mixer]]
[[data.mix]]
source = "a"
""" + "".join(f"[[backbone.layer.mixer]]\nkind = {kind!r}\n" for kind in MIXERS)

TABLES = {
    "": configs.Config,
    "data.": data_tables.Data,
    "data.mix.0.": data_tables.MixedSource,
    "data.augment.": data_tables.Augment,
    "tokens.": data_tables.Tokens,
    "tokens.spectrum.": Spectrum,
    "tokens.embedding_size.": EmbeddingSizes,
    "context.": data_tables.Context,
    "backbone.": network_tables.Backbone,
    "backbone.layer.0.": network_tables.LayerTable,
    **{f"backbone.layer.0.mixer.{k}.": kind for k, kind in enumerate(MIXERS.values(), 1)},
    "backbone.layer.0.block.0.": network_tables.FoldLayer,
    "refeed.": training_tables.RefeedTable,
    "tandem.": tandem_tables.Tandem,
    "distill.": tandem_tables.Distill,
    "refeed.steps_by_length.": training_tables.Length,
    "loss.": training_tables.Loss,
    "loss.modality.": training_tables.ModalityWeights,
    "loss.step.": training_tables.StepWeights,
    "train.": training_tables.Train,
    "train.optimizer.": training_tables.Optimizer,
    "train.objectives.": training_tables.Objectives,
    "train.checkpoints.": training_tables.Checkpoints,
    "train.blind.": training_tables.Blind,
    "train.partial.": training_tables.PartTable,
    "limits.": configs.Limits,
}

KEYS = [(where, f) for where, table in TABLES.items() for f in dataclasses.fields(table)]


def kinds(where, field):
    """The kinds of a key's value, outermost first: `[tuple, int]`, `[float]`."""
    hint = typing.get_type_hints(TABLES[where])[field.name]
    if type(None) in typing.get_args(hint):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if typing.get_origin(hint) is tuple:
        return [tuple, typing.get_args(hint)[0]]
    return [hint]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def all_lists(tmp_path):
    path = tmp_path / "lists.toml"
    path.write_text(ALL_LISTS)
    return path


def refused(path, *settings):
    """The one-line message with which a config is refused, without the file's name."""
    with pytest.raises(MdnnError) as error:
        load_config(path, settings)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}: ")


def test_tables_are_all_tables():
    used = {kind for where, f in KEYS for kind in kinds(where, f) if dataclasses.is_dataclass(kind)}
    mixers = {table for table in TABLES.values() if issubclass(table, Mixer)}
    # Both read their tables themselves: test_mesh_table.py, tests/training/test_growing.py.
    own = {Mixer, training_tables.Stage, configs.Mesh}
    assert (used - own) | {Config} | mixers == set(TABLES.values())


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_are_read_and_written(shipped, tmp_path):
    config = load_config(shipped)
    assert {"text", "text-grid", "paper", "mixer", "transformer"} <= {p.stem for p in SHIPPED}
    (tmp_path / "again.toml").write_text(config.to_toml(), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == config


@pytest.mark.parametrize(("where", "field"), KEYS, ids=lambda x: getattr(x, "name", x))
def test_a_wrong_name_offers_the_nearest(all_lists, where, field):
    message = refused(all_lists, f"{where}{field.name}x=1")
    kind = f" of kind = {TABLES[where].kind!r}" if issubclass(TABLES[where], Mixer) else ""
    assert message == f"unknown key '{where}{field.name}x'{kind} (did you mean '{field.name}'?)"


@pytest.mark.parametrize(("where", "field"), KEYS, ids=lambda x: getattr(x, "name", x))
def test_a_value_of_another_kind_is_refused(all_lists, where, field):
    wrong = {
        bool: ("1", '"true"', "[true]"),
        int: ("1.5", "true", '"1"', "[1]", "nan"),
        float: ("true", '"1"', "[1.0]", "nan", "inf", "-inf"),
        # On the command line whatever stands at such a key is a text; see below.
        str: (),
        tuple: ("1", "true", '"a"', "{a = 1}"),
    }
    outer, *inner = kinds(where, field)
    for value in wrong.get(outer, ("1", "true", '"a"', "[1]")):
        assert refused(all_lists, f"{where}{field.name}={value}").startswith(
            f"{where}{field.name}: expected"
        ), value
    in_lists = wrong | {int | str: ("1.5", "true", "[1]")}
    in_lists |= {str: ("1", "true", '["a"]', "1979-05-27")}
    for value in in_lists.get(inner[0], ("1", '"a"')) if inner else ():
        assert refused(all_lists, f"{where}{field.name}=[{value}]").startswith(
            f"{where}{field.name}.0: expected"
        ), value


@pytest.mark.parametrize(
    ("where", "field"),
    [(where, f) for where, f in KEYS if kinds(where, f)[0] is str],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_text_of_another_kind_is_refused_in_a_file(all_lists, where, field):
    for value in (1, True, ["a"], datetime.date(1979, 5, 27)):
        table = place = tomllib.loads(all_lists.read_text())
        for word in filter(None, where.split(".")):
            place = place[int(word)] if word.isdecimal() else place.setdefault(word, {})
        place[field.name] = value
        with pytest.raises(MdnnError, match=f"^{re.escape(where)}{field.name}: expected a string"):
            Config.from_dict(table)


@pytest.mark.parametrize(
    ("where", "field"),
    [
        (where, f)
        for where, f in KEYS
        if f.metadata and any(v is not None for v in f.metadata.values())
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_value_beyond_its_limits_is_refused(all_lists, where, field):
    name = f"{where}{field.name}"
    limits = field.metadata
    if limits["choices"]:
        message = refused(all_lists, f"{name}={limits['choices'][0]}x")
        assert message.startswith(f"{name}: expected one of {', '.join(limits['choices'])}; ")
        assert message.endswith(f"x' (did you mean {limits['choices'][0]!r}?)")
    is_list = kinds(where, field)[0] is tuple
    step = 1e-3 if float in kinds(where, field) else 1
    for limit, beyond in (("least", -step), ("most", step)):
        if limits[limit] is not None:
            value = limits[limit] + beyond
            message = refused(all_lists, f"{name}={[value] if is_list else value}")
            assert message.startswith(f"{name}{'.0' * is_list}: expected ")
            assert str(limits[limit]) in message
            assert message.endswith(f"received {value}")


def test_the_keys_limits_themselves_are_taken(path):
    config = load_config(
        path,
        [
            "data.validation=0",
            "tokens.words=0",
            "tokens.base=1024",
            "backbone.layer.0.dropout=0.95",
        ],
    )
    assert (config.data.validation, config.tokens.base) == (0.0, 1024)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (["data.source=book.txt"], lambda c: c.data.source == "book.txt"),
        (["data.source=C:\\a b\\c.txt"], lambda c: c.data.source == "C:\\a b\\c.txt"),
        (["data.source=a=b"], lambda c: c.data.source == "a=b"),
        (['data.source="12"'], lambda c: c.data.source == "12"),
        (["data.source= tfds:x "], lambda c: c.data.source == " tfds:x "),
        ([" seed = 7"], lambda c: c.seed == 7),
        (["seed=7", "seed=8"], lambda c: c.seed == 8),
        (["context.grid=[2, 3]"], lambda c: c.context.grid == (2, 3)),
        (["context.grid=[2, 3]", "context.grid.1=4"], lambda c: c.context.grid == (2, 4)),
        (["refeed={steps = 3}"], lambda c: c.refeed.steps == 3),
        (["train.optimizer.learning_rate=1"], lambda c: c.train.optimizer.learning_rate == 1.0),
        (["backbone.layer.0.bias=true"], lambda c: c.backbone.layer[0].bias is True),
        (
            ["backbone.layer.0.mixer.0.wiring=causal+shift"],
            lambda c: c.backbone.layer[0].mixer[0].wiring == "causal+shift",
        ),
        (["train.minutes=3"], lambda c: (c.train.minutes, c.train.steps) == (3.0, None)),
        (
            ["train.minutes=3", "train.steps=9"],
            lambda c: (c.train.minutes, c.train.steps) == (None, 9),
        ),
    ],
)
def test_set(path, settings, found):
    assert found(load_config(path, settings))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "expected KEY=VALUE, received 'seed'"),
        ("=3", "expected KEY=VALUE, received '=3'"),
        ("", "expected KEY=VALUE, received ''"),
        ("seed.x=1", "seed: expected a whole number, received {'x': 1}"),
        ("backbone.layer.1.bias=true", "backbone.layer.1.bias: expected a number below 1"),
        ("backbone.layer.x.bias=true", "backbone.layer.x.bias: expected a number below 1"),
        ("backbone.layer.².bias=true", "backbone.layer.².bias: expected a number below 1"),
        ("backbone.layer.-1=1", "backbone.layer.-1: expected a number below 1, received '-1'"),
        ("backbone.layer.0=1", "backbone.layer.0: expected a table, received 1"),
        ("train.steps.x=1", "train.steps.x: expected a table above 'x', received a value"),
        ("train.steps.x.y=1", "train.steps.x.y: expected a table above 'x', received a value"),
        ("train=3", "train: expected a table, received 3"),
        ("data.source=\udcff.txt", "data.source: expected a string of Unicode characters"),
    ],
)
def test_set_errors(path, setting, message):
    assert refused(path, setting).startswith(message)


MIXER = "backbone.layer.0.mixer.0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["context.grid=[]"], "context.grid: expected at least one axis"),
        (["context.grid=[0]"], "context.grid.0: expected at least 1, received 0"),
        (["context.grid=[8, -2]"], "context.grid.1: expected at least 1, received -2"),
        (["context.grid=[8.0]"], "context.grid.0: expected a whole number"),
        (["train={}"], "train: expected one of train.minutes and train.steps"),
        (
            ['data.mix=[{source="a", share=0.5}, {source="b", share=0.5}]'],
            "data.mix: expected shares that sum to less than 1, as data.source has the rest; "
            "received 1",
        ),
        (["data.mix=[{share=0.5}]"], "missing key 'data.mix.0.source'"),
        (["train={minutes=1, steps=1}"], "train: expected one of train.minutes and train.steps"),
        (
            ["refeed.bptt_steps=2"],
            "refeed.bptt_steps: expected at most refeed.steps = 1, received 2",
        ),
        (
            ["refeed={steps=3, bptt_steps=2, initial_state='learned'}"],
            "refeed.initial_state: 'learned' needs gradients through all steps",
        ),
        (["tokens.modalities=['txt']"], "tokens.modalities: unknown modality 'txt' (did you mean"),
        (["tokens.modalities=['text', 'text']"], "tokens.modalities: expected 'text' once"),
        (["tokens.modalities=[]"], "tokens.modalities: expected at least one, received none"),
        (
            ["tokens.modalities=['word']", "tokens.words=9"],
            "tokens.modalities: 'word' needs 'text' too",
        ),
        (["tokens.modalities=['blank']"], "tokens.modalities: 'blank' is not part of items; it"),
        (["tokens.modalities=['padding']"], "tokens.modalities: 'padding' is not part of"),
        (["tokens={table='bits', heads='full'}"], "tokens.heads: tokens.table = 'bits' answers in"),
        (
            ["tokens={table='bits', table_init='ordered'}"],
            "tokens.table_init: tokens.table = 'bits' has no",
        ),
        (
            ["tokens.modalities=['text', 'grey']"],
            "tokens.modalities: expected text, word, subword with context.layout = 'stream'",
        ),
        (
            ["data.order=any"],
            "data.order: expected 'given' in a stream, received 'any'; it belongs",
        ),
        (["data.truncate=true"], "data.truncate: expected False in a stream, received True"),
        (["data.augment.speed=0.1"], "data.augment.speed: expected 0.0 in a stream, received 0.1"),
        (["data.augment.shift=1"], "data.augment.shift: expected 0 in a stream, received 1"),
        (["data.augment.mask=0.5"], "data.augment.mask: expected 0.0 in a stream, received 0.5"),
        (
            [
                "context.layout=items",
                "data.augment.mask=0.5",
                "train.objectives={autoregressive=0.0, parallel=1.0}",
            ],
            "data.augment.mask: expected train.objectives.autoregressive above 0, received 0",
        ),
        (
            ["tokens.answer_coordinates=true"],
            "tokens.answer_coordinates: expected False in a stream",
        ),
        (
            ["context.pad_to_multiple_of=2"],
            "context.pad_to_multiple_of: expected 1 in a stream, received 2",
        ),
        (["loss.prompt=0.5"], "loss.prompt: expected 1.0 in a stream, received 0.5"),
        (
            ["context={layout='items', pad_to_multiple_of=65}"],
            "context.pad_to_multiple_of: expected at most the context's",
        ),
        (
            ["context.layout=items", "tokens={coordinates=true, base=3, digits=3}"],
            "tokens.digits: 3 digits of base 3 tell 27 coordinates apart, expected at least the",
        ),
        (
            ["context.layout=items", "tokens={answer_coordinates=true, base=3, digits=3}"],
            "tokens.digits: 3 digits of base 3 tell 27 coordinates apart, expected at least the",
        ),
        (
            ["train.objectives.autoregressive=0"],
            "train.objectives: expected one of autoregressive, parallel and masked_diffusion",
        ),
        (["loss.modality.text=0"], "loss.modality: expected a weight above 0 for one of"),
        (
            ["loss.step={modality=0, byte_1=0, byte_2=0, byte_3=0}"],
            "loss.step: expected a weight above 0 for modality or a byte",
        ),
        (["tokens.words=9"], "tokens: the modality 'word' and tokens.words above 0 require"),
        (["tokens.modalities=['text', 'word']"], "tokens: the modality 'word' and tokens.words"),
        (["backbone.layer=[]"], "backbone.layer: expected at least one layer"),
        (["backbone.layer.0.mixer=[]"], "backbone.layer.0: kind = 'mix' and a list of mixers"),
        (["backbone.layer.0.kind=linear"], "backbone.layer.0: kind = 'mix' and a list of"),
        (
            ["backbone.layer.0.gate=silu", "backbone.layer.0.project=false"],
            "backbone.layer.0: a gate needs project = true",
        ),
        ([f"{MIXER}.wiring=full"], f"{MIXER}.wiring: a network that predicts the next token"),
        ([f"{MIXER}.wiring=causl"], f"{MIXER}.wiring: a network that predicts the next token"),
        ([f"{MIXER}.axes=[2]"], f"{MIXER}.axes: expected numbers from 1 to 1"),
        ([f"{MIXER}.axes=[0]"], f"{MIXER}.axes: expected numbers from 1 to 1"),
        ([f"{MIXER}.axes=[-2]"], f"{MIXER}.axes: expected numbers from 1 to 1"),
        (
            [f"{MIXER}.axes=[1, -1]"],
            f"{MIXER}.axes: expected a separate mixer for the channels",
        ),
        ([f"{MIXER}.axes=[-1]"], f"{MIXER}.axes: expected a separate mixer for the channels"),
        ([f"{MIXER}.kind=conv"], f"{MIXER}.window: conv needs a window"),
        ([f"{MIXER}.kind=local"], f"{MIXER}.window: local needs a window"),
        (
            [f"{MIXER}.kind=attention", "context.grid=[2, 2]"],
            f"{MIXER}.axes: attention mixes one axis, received [1, 2]",
        ),
        (
            [f"{MIXER}.kind=attention", f"{MIXER}.axes=[-1]"],
            f"{MIXER}.axes: attention mixes a context axis, received -1",
        ),
        (
            [f"{MIXER}.axes=[3]", "context={layout='items', grid=[2, 2]}"],
            f"{MIXER}.axes: expected numbers from 1 to 2 (context axes) or -1 (channels)",
        ),
        (
            [f"{MIXER}.axes=[0]", f"{MIXER}.wiring=full", "context={layout='items'}"],
            f"{MIXER}.wiring: a network that predicts the next token needs",
        ),
        (
            ["backbone.layer.0.block=[{}]"],
            "backbone.layer.0.block: only a key of a fold or chunks, received kind = 'mix'",
        ),
        (["backbone.layer.0.depth=2"], "backbone.layer.0.depth: only a key of a fold or chunks"),
        ([f"{MIXER}.groups=3"], f"{MIXER}.groups: expected a divisor of backbone.width = 128"),
        (
            [f"{MIXER}.kind=attention", f"{MIXER}.heads=3"],
            f"{MIXER}.heads: expected a divisor of backbone.width = 128, received 3",
        ),
    ],
)
def test_keys_that_do_not_go_together(path, settings, message):
    assert refused(path, *settings).startswith(message)


# A fold that is in order; tests take something away or add something.
FOLD = {"kind": "fold", "width": 6, "block": [{"mixer": [{"groups": 2}]}]}


def fold_config(grid=(3, 2), objectives=None, **fold):
    branch = {name: v for name, v in {**FOLD, **fold}.items() if v is not None}
    table = {
        "context": {"grid": list(grid), "layout": "items"},
        "backbone": {"width": 4, "layer": [branch]},
        "train": {"steps": 1, "objectives": objectives or {}},
    }
    return Config.from_dict(table)


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ({"grid": (6,)}, ".kind: a fold needs a context.grid of at least two axes"),
        ({"width": None}, ".width: a fold needs channels of a folded row, received none"),
        ({"block": None}, ".block: a fold needs layers for its rows, received none"),
        ({"mixer": [{}]}, ": kind = 'mix' and a list of mixers belong together"),
        ({"stack": 2}, ".stack: not a key of kind = 'fold'"),
        ({"times": 2}, ".times: not a key of kind = 'fold'"),
        ({"gate": "silu"}, ".gate: not a key of kind = 'fold'"),
        ({"activation": "silu"}, ".activation: not a key of kind = 'fold'"),
        ({"block": [{}]}, ".block.0: kind = 'mix' and a list of mixers belong together"),
        (
            {"block": [{"mixer": [{"groups": 4}]}]},
            ".block.0.mixer.0.groups: expected a divisor of the fold's width = 6, received 4",
        ),
        (
            {"block": [{"mixer": [{"kind": "attention", "heads": 4}]}]},
            ".block.0.mixer.0.heads: expected a divisor of the fold's width = 6, received 4",
        ),
        (
            {"block": [{"kind": "feedforward"}, {"mixer": [{"axes": [2]}]}]},
            ".block.1.mixer.0.axes: expected numbers from 1 to 1 (context axes) or -1 (channels)",
        ),
        (
            {"block": [{"mixer": [{"axes": [0]}]}]},
            ".block.0.mixer.0.axes: expected numbers from 1 to 1 (context axes) or -1 (channels)",
        ),
        (
            {"block": [{"mixer": [{"wiring": "full"}]}]},
            ".block.0.mixer.0.wiring: a network that predicts the next token needs 'causal'",
        ),
    ],
    ids=str,
)
def test_folds_that_are_not_in_order(fold, message):
    with pytest.raises(MdnnError) as error:
        fold_config(**fold)
    assert str(error.value).startswith(f"backbone.layer.0{message}")
    assert "\n" not in str(error.value)


def test_what_goes_together():
    assert fold_config().backbone.layer[0].depth == 1
    # Where writing in turn is not trained, wiring is free.
    whole = [{"mixer": [{"wiring": "full"}]}]
    fold_config(block=whole, objectives={"autoregressive": 0, "parallel": 1})
    fold_config(block=whole, objectives={"autoregressive": 0, "masked_diffusion": 0.5})
    with pytest.raises(MdnnError, match="needs 'causal' wiring"):
        fold_config(block=whole, objectives={"autoregressive": 0.1, "parallel": 1})


@pytest.mark.parametrize("key", ["order", "cut", "answer_coordinates", "align", "prompt"])
def test_keys_of_items_are_taken_with_items(path, key):
    settings = {
        "order": "data.order=pairs",
        "cut": "data.truncate=true",
        "answer_coordinates": "tokens.answer_coordinates=true",
        "align": "context.pad_to_multiple_of=64",
        "prompt": "loss.prompt=0",
    }
    load_config(path, ["context.layout=items", "tokens.modalities=['grey']", settings[key]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", r"cannot be read as TOML: Invalid value"),
        (b"seed = 1\nseed = 2", r"cannot be read as TOML: Cannot overwrite a value"),
        (b"# \xff", r"cannot be read: it is not UTF-8 text: byte 0xff at offset 2 of 3"),
        (b"seed = " + b"9" * 5000, r"cannot be read as TOML: "),
        (b"seed = " + b"[" * 100_000, r"cannot be read as TOML: "),
        (b"", r"train: expected one of train.minutes and train.steps"),
        (b"train.steps = 1", r"backbone.layer: expected at least one layer"),
    ],
)
def test_files_that_are_no_config(path, content, message):
    path.write_bytes(content)
    assert re.match(message, refused(path).removeprefix(f"{path} "))


def test_no_file(tmp_path):
    assert refused_file(tmp_path / "nothing.toml") == f"no config file at {tmp_path}/nothing.toml"
    assert refused_file(tmp_path) == f"{tmp_path} is a folder, expected a config file (.toml)"
    (tmp_path / "file").write_text("")
    assert refused_file(tmp_path / "file" / "x.toml").startswith("no config file at ")
    assert refused_file("a\0b.toml").startswith("config: expected a path, received one with a null")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_a_file_that_may_not_be_read(path):
    path.chmod(0)
    assert "cannot be read" in refused_file(path)


def refused_file(path):
    with pytest.raises(MdnnError) as error:
        load_config(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_slots():
    assert data_tables.Context((3, 4, 5)).positions == 60


def test_another_kind_of_mixer_drops_the_words_of_the_old_one(path):
    words = [f"{MIXER}.groups=2", f"{MIXER}.execution=sequential", f"{MIXER}.wiring=causal"]
    kind = [f"{MIXER}.kind=attention", f"{MIXER}.heads=2"]
    mixer = load_config(path, [*words, *kind]).backbone.layer[0].mixer[0]
    assert (mixer.kind, mixer.heads, mixer.wiring) == ("attention", 2, "causal")
    message = refused(path, *words, *kind, f"{MIXER}.groups=2")
    assert message.startswith(f"unknown key '{MIXER}.groups' of kind = 'attention'")


def test_subword_dropout_needs_subwords(path):
    assert refused(path, "tokens.subword_dropout=0.1") == (
        "tokens.subword_dropout: expected 0 without tokens.subwords, received 0.1"
    )


@pytest.mark.parametrize("key", ["backbone", "backbone.layer.0"])
@pytest.mark.parametrize("value", ["0", "1e-250"])
def test_norms_need_an_epsilon_that_float32_holds(key, value):
    """Without one, a position whose channels are all zero has no norm: the loss is not a number."""
    with pytest.raises(MdnnError, match="norm_epsilon: expected between 1e-12"):
        load_config("text-grid", [f"{key}.norm_epsilon={value}"])
