"""Configs: every key, every limit, every pair of keys that do not go together."""

import dataclasses
import os
import re
import typing
from pathlib import Path

import pytest

from mdnn.errors import MdnnError
from mdnn.models import config as configs
from mdnn.models.config import Config, load_config

SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))

# Every list holds something, so that every key can be set.
TEXT = """
[[backbone.branch]]
[[backbone.branch.mixer]]
[train]
steps = 5
"""

TABLES = {
    "": configs.Config,
    "data.": configs.Data,
    "tokens.": configs.Tokens,
    "context.": configs.Context,
    "backbone.": configs.Backbone,
    "backbone.branch.0.": configs.Branch,
    "backbone.branch.0.mixer.0.": configs.Mixer,
    "refeed.": configs.Refeed,
    "train.": configs.Train,
    "train.optimizer.": configs.Optimizer,
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
    assert used | {Config} == set(TABLES.values())


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_are_read_and_written(shipped, tmp_path):
    config = load_config(shipped)
    assert {"text", "text-grid", "paper", "mixer", "transformer"} <= {p.stem for p in SHIPPED}
    (tmp_path / "again.toml").write_text(config.to_toml(), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == config


@pytest.mark.parametrize(("where", "field"), KEYS, ids=lambda x: getattr(x, "name", x))
def test_a_wrong_name_offers_the_nearest(path, where, field):
    message = refused(path, f"{where}{field.name}x=1")
    assert message == f"unknown key '{where}{field.name}x' (did you mean '{field.name}'?)"


@pytest.mark.parametrize(("where", "field"), KEYS, ids=lambda x: getattr(x, "name", x))
def test_a_value_of_another_kind_is_refused(path, where, field):
    wrong = {
        bool: ("1", '"true"', "[true]"),
        int: ("1.5", "true", '"1"', "[1]", "nan"),
        float: ("true", '"1"', "[1.0]", "nan", "inf", "-inf"),
        str: ("1", "true", '["a"]', "1979-05-27"),
        tuple: ("1", "true", '"a"', "{a = 1}"),
    }
    outer, *inner = kinds(where, field)
    for value in wrong.get(outer, ("1", "true", '"a"', "[1]")):
        assert refused(path, f"{where}{field.name}={value}").startswith(
            f"{where}{field.name}: expected"
        ), value
    for value in wrong.get(inner[0], ("1", '"a"')) if inner else ():
        assert refused(path, f"{where}{field.name}=[{value}]").startswith(
            f"{where}{field.name}.0: expected"
        ), value


@pytest.mark.parametrize(
    ("where", "field"),
    [
        (where, f)
        for where, f in KEYS
        if f.metadata and any(v is not None for v in f.metadata.values())
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_value_beyond_its_limits_is_refused(path, where, field):
    name = f"{where}{field.name}"
    limits = field.metadata
    if limits["choices"]:
        message = refused(path, f"{name}={limits['choices'][0]}x")
        assert message.startswith(f"{name}: expected one of {', '.join(limits['choices'])}; ")
        assert message.endswith(f"x' (did you mean {limits['choices'][0]!r}?)")
    is_list = kinds(where, field)[0] is tuple
    step = 1e-3 if float in kinds(where, field) else 1
    for limit, beyond in (("least", -step), ("most", step)):
        if limits[limit] is not None:
            value = limits[limit] + beyond
            message = refused(path, f"{name}={[value] if is_list else value}")
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
            "backbone.branch.0.dropout=0.95",
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
        (["data.source= tfds:x "], lambda c: c.data.source == "tfds:x"),
        ([" seed = 7"], lambda c: c.seed == 7),
        (["seed=7", "seed=8"], lambda c: c.seed == 8),
        (["context.grid=[2, 3]"], lambda c: c.context.grid == (2, 3)),
        (["context.grid=[2, 3]", "context.grid.1=4"], lambda c: c.context.grid == (2, 4)),
        (["refeed={steps = 3}"], lambda c: c.refeed.steps == 3),
        (["train.optimizer.rate=1"], lambda c: c.train.optimizer.rate == 1.0),
        (["backbone.branch.0.bias=true"], lambda c: c.backbone.branch[0].bias is True),
        (
            ["backbone.branch.0.mixer.0.wiring=causal+shift"],
            lambda c: c.backbone.branch[0].mixer[0].wiring == "causal+shift",
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
        ("backbone.branch.1.bias=true", "backbone.branch.1.bias: expected a number below 1"),
        ("backbone.branch.x.bias=true", "backbone.branch.x.bias: expected a number below 1"),
        ("backbone.branch.².bias=true", "backbone.branch.².bias: expected a number below 1"),
        ("backbone.branch.-1=1", "backbone.branch.-1: expected a number below 1, received '-1'"),
        ("backbone.branch.0=1", "backbone.branch.0: expected a table, received 1"),
        ("train.steps.x=1", "train.steps.x: 'x' is below a value, not a table"),
        ("train.steps.x.y=1", "train.steps.x.y: 'x' is below a value, not a table"),
        ("train=3", "train: expected a table, received 3"),
        ("data.source=\udcff.txt", "data.source: expected a text of Unicode characters"),
    ],
)
def test_set_errors(path, setting, message):
    assert refused(path, setting).startswith(message)


MIXER = "backbone.branch.0.mixer.0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["context.grid=[]"], "context.grid: expected at least one axis"),
        (["context.grid=[0]"], "context.grid.0: expected at least 1, received 0"),
        (["context.grid=[8, -2]"], "context.grid.1: expected at least 1, received -2"),
        (["context.grid=[8.0]"], "context.grid.0: expected a whole number"),
        (["train={}"], "train: expected one of train.minutes and train.steps"),
        (["train={minutes=1, steps=1}"], "train: expected one of train.minutes and train.steps"),
        (["refeed.backprop=2"], "refeed.backprop: expected at most refeed.steps = 1, received 2"),
        (
            ["refeed={steps=3, backprop=2, start='learned'}"],
            "refeed.start: no gradient reaches a learned start",
        ),
        (["tokens.modalities=['txt']"], "tokens.modalities: unknown modality 'txt' (did you mean"),
        (["tokens.modalities=['text', 'text']"], "tokens.modalities: expected 'text' once"),
        (["tokens.modalities=[]"], "tokens.modalities: expected text among them"),
        (["tokens.modalities=['word']", "tokens.words=9"], "tokens.modalities: expected text"),
        (["tokens.words=9"], "tokens: the modality 'word' and tokens.words above 0 belong"),
        (["tokens.modalities=['text', 'word']"], "tokens: the modality 'word' and tokens.words"),
        (["backbone.branch=[]"], "backbone.branch: expected at least one branch"),
        (["backbone.branch.0.mixer=[]"], "backbone.branch.0: kind = 'mix' and a list of mixers"),
        (["backbone.branch.0.kind=linear"], "backbone.branch.0: kind = 'mix' and a list of"),
        (
            ["backbone.branch.0.gate=silu", "backbone.branch.0.project=false"],
            "backbone.branch.0: a gate needs project = true",
        ),
        ([f"{MIXER}.wiring=full"], f"{MIXER}.wiring: a network that predicts the next unit needs"),
        ([f"{MIXER}.wiring=causl"], f"{MIXER}.wiring: a network that predicts the next unit needs"),
        ([f"{MIXER}.axes=[2]"], f"{MIXER}.axes: expected numbers from 1 to 1"),
        ([f"{MIXER}.axes=[0]"], f"{MIXER}.axes: expected numbers from 1 to 1"),
        ([f"{MIXER}.axes=[-2]"], f"{MIXER}.axes: expected numbers from 1 to 1"),
        (
            [f"{MIXER}.axes=[1, -1]"],
            f"{MIXER}.axes: the channels are mixed by a mixer of their own",
        ),
        ([f"{MIXER}.axes=[-1]"], f"{MIXER}.axes: the channels are mixed by a mixer of their own"),
        ([f"{MIXER}.kind=conv"], f"{MIXER}.window: conv needs a window"),
        ([f"{MIXER}.kind=local"], f"{MIXER}.window: local needs a window"),
        (
            [f"{MIXER}.kind=attention", "context.grid=[2, 2]"],
            f"{MIXER}.axes: attention mixes one axis, received [1, 2]",
        ),
        (
            [f"{MIXER}.kind=attention", f"{MIXER}.axes=[-1]", f"{MIXER}.sharing=shared"],
            f"{MIXER}.axes: attention mixes a context axis, received -1",
        ),
        ([f"{MIXER}.groups=3"], f"{MIXER}.groups: expected a divisor of backbone.width = 128"),
        (
            [f"{MIXER}.kind=attention", f"{MIXER}.heads=3"],
            f"{MIXER}.heads: expected a divisor of backbone.width = 128, received 3",
        ),
    ],
)
def test_keys_that_do_not_go_together(path, settings, message):
    assert refused(path, *settings).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", r"cannot be read as TOML: Invalid value"),
        (b"seed = 1\nseed = 2", r"cannot be read as TOML: Cannot overwrite a value"),
        (b"# \xff", r"cannot be read as TOML: .*utf-8.*position 2"),
        (b"seed = " + b"9" * 5000, r"cannot be read as TOML: "),
        (b"seed = " + b"[" * 100_000, r"cannot be read as TOML: "),
        (b"", r"train: expected one of train.minutes and train.steps"),
        (b"train.steps = 1", r"backbone.branch: expected at least one branch"),
    ],
)
def test_files_that_are_no_config(path, content, message):
    path.write_bytes(content)
    assert re.match(message, refused(path).removeprefix(f"{path} "))


def test_no_file(tmp_path):
    assert refused_file(tmp_path / "nothing.toml") == f"no config file at {tmp_path}/nothing.toml"
    assert refused_file(tmp_path) == f"{tmp_path} is a folder, expected a config file (.toml)"
    (tmp_path / "file").write_text("")
    assert "cannot be read" in refused_file(tmp_path / "file" / "x.toml")
    assert "cannot be read" in refused_file("a\0b.toml")


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
    assert configs.Context((3, 4, 5)).slots == 60
