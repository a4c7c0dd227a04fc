"""The commands on networks of items: figures as a table, and what bad input gets."""

import json
import os
import re

import pytest
import tiny

import mdnn
from mdnn.cli import main


@pytest.fixture
def call(capfd):
    """Runs a command; returns its status, standard output and standard error."""

    def run(*words):
        status = main([str(word) for word in words])
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with items.toml, its manifest and its files."""
    tiny.write_items(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


HEAD = ["mode", "answer", "nats/token", "bits/token", "nats/answer", "answers", "tokens"]


def test_train(call, folder):
    quick = settings(*tiny.QUICK, "train.steps=3", "train.objectives.parallel=0", "data.order=any")
    turn = settings("train.objectives.masked_diffusion=0", "data.source=manifest.jsonl")
    status, out, err = call("train", "items.toml", "--out", "runs/a", *quick, *turn)
    assert status == 0
    head, *rows, last = (line.split() for line in out.splitlines())
    assert head == HEAD
    # In any order, the last of three items is the answer.
    assert {row[1] for row in rows} <= {"audio", "grey", "text", "all"}
    assert {row[0] for row in rows} == {"autoregressive"}
    assert (rows[-1][1], rows[-1][5]) == ("all", "3")
    spent = r"3 steps in \d+ s \(\d+ s since the command began\); saved in runs/a"
    assert re.search(f"{spent}$", " ".join(last))
    assert " bits/token " in err
    assert " tokens/s " in err
    # The run knows its source from anywhere.
    config = mdnn.load_config("runs/a/config.toml")
    assert config.data.source == str(folder / "manifest.jsonl")


def test_evaluate(call, folder, items_run):
    expected = mdnn.evaluate(items_run)
    status, out, err = call("evaluate", items_run)
    assert (status, err) == (0, "")
    head, *rows = (line.split() for line in out.splitlines())
    assert head == HEAD
    assert [row[:2] for row in rows] == [
        [way, kind]
        for way in ("autoregressive", "parallel", "masked_diffusion")
        for kind in ("audio", "grey", "text", "all")
    ]
    grey = expected["modes"]["parallel"]["kinds"]["grey"]
    assert rows[5][2:] == [
        f"{grey['loss']:.4f}",
        f"{grey['bits_per_token']:.4f}",
        f"{grey['loss_per_item']:.4f}",
        "6",
        "102",
    ]
    assert [float(cell) for cell in rows[3][2:4]] == pytest.approx(
        [expected["loss"], expected["bits_per_token"]], abs=1e-4
    )
    # All of a source: 4 pictures and sounds of each word.
    status, out, err = call("evaluate", items_run, "--data", "manifest.jsonl", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["items"] == 3 * 6 * 4


def test_inspect(call, folder):
    status, out, err = call("inspect", "items.toml", "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert (facts["positions"], facts["grid"], facts["receptive_field"]) == (40, [5, 8], 40)


BAD = [
    (("train", "items.toml", "--out", "a", "--set", "data.source=no"), "received 'no'"),
    (("train", "items.toml", "--out", "a", "--set", "data.source="), "expected a source of items"),
    (("train", "items.toml", "--out", "a", "--set", "context.grid=[2, 8]"), "one: its items and"),
    (
        ("train", "items.toml", "--out", "a", "--set", "data.validation=0"),
        "has no validation examples; expected",
    ),
    (("train", "broken.toml", "--out", "a"), "one-0.png"),
    (("evaluate", "RUN", "--data", "no"), "expected a source of items"),
    (("evaluate", "RUN", "--data", "text.txt"), "is a text"),
    (("evaluate", "RUN", "--data", "outside.jsonl"), "outside.jsonl:1"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input(call, folder, items_run, words, message):
    (folder / "text.txt").write_text("some text")
    (folder / "outside.jsonl").write_text('{"items": [{"image": "../a.png"}]}')
    (folder / "broken").mkdir()
    tiny.write_items(folder / "broken")
    data = (folder / "broken" / "one-0.png").read_bytes()
    (folder / "broken" / "one-0.png").write_bytes(data[:-20])
    os.rename(folder / "broken" / "items.toml", folder / "broken.toml")
    before = sorted(folder.rglob("*"))
    status, out, err = call(*(items_run if word == "RUN" else word for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("mdnn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before
