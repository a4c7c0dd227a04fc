"""`mdnn quantize`: the table, and a run that every other command takes."""

import json

import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.runs.run_files import weights_dtype
from mdnn.runs.run_folder import open_run


@pytest.fixture
def call(capfd):
    """Runs a command; returns its status, standard output and standard error."""

    def run(*words):
        status = main([str(word) for word in words])
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_quantize(call, folder, tiny_run, monkeypatch):
    monkeypatch.setattr("mdnn.tasks.text_task.MEASURED_CHARACTERS", 20)
    (folder / "other.txt").write_text(tiny.TEXT[:300], encoding="utf-8")
    options = ("--to", "int8", "--out", "a/small", "--data", "other.txt")
    status, out, err = call("quantize", tiny_run, *options)
    assert (status, err) == (0, "")
    head, whole, small, last = (line.split() for line in out.splitlines())
    assert head == [
        "weights",
        "bytes",
        "of",
        "it",
        "mode",
        "nats/character",
        "cost",
        "characters/s",
    ]
    assert " ".join(last) == "saved in a/small"
    assert files(folder) == [
        "a",
        "a/small",
        "a/small/config.toml",
        "a/small/model.safetensors",
        "a/small/run.json",
        "other.txt",
    ]
    nats = []
    for row, dtype, run in ((whole, "float32", tiny_run), (small, "int8", folder / "a/small")):
        nats.append(mdnn.evaluate(run, tiny.TEXT[:300], sliding=False)["loss"])
        assert row[0] == dtype
        assert row[1] == f"{(run / 'model.safetensors').stat().st_size:,}"
        assert row[4] == f"{nats[-1]:.4f}"
        assert int(row[-1].replace(",", "")) > 0
    cost = nats[1] / nats[0] - 1
    assert float(small[5].rstrip("%")) / 100 == pytest.approx(cost, abs=1e-4)
    assert abs(cost) < 0.005


def test_a_small_run_is_a_run(call, folder, tiny_run):
    """It writes, is evaluated and looked at; training does not go on with it."""
    mdnn.quantize(tiny_run, "int4", "small")
    status, out, err = call("generate", "small", "--prompt", "The ", "--length", 9, "--greedy")
    assert (status, err) == (0, "")
    assert out == "The " + mdnn.generate("small", "The ", length=9, temperature=0) + "\n"
    status, out, _ = call("evaluate", "small", "--json")
    assert status == 0
    # As its weights do in the run that it was made from.
    small = open_run(tiny_run).holding(mdnn.load("small"))
    assert json.loads(out)["loss"] == pytest.approx(mdnn.evaluate(small)["loss"])
    status, out, _ = call("inspect", "small", "--json")
    assert json.loads(out)["parameters"] == mdnn.load(tiny_run).count_params()
    before = files(folder)
    words = ("train", "small/config.toml", "--out", "small", "--resume")
    status, out, err = call(*words, "--set", "train.steps=301")
    assert (status, out) == (2, "")
    assert err == (
        "mdnn: error: small has int4 weights, which cannot be trained: expected the "
        "run from which they were made\n"
    )
    assert files(folder) == before


def test_quantize_items_as_json(call, folder, items_run, monkeypatch):
    """Evaluating and writing items are tested elsewhere: here, what is said of them."""

    losses = iter((0.5, 0.75))

    def evaluated(self, lines, progress):
        assert len(lines) == 3
        nats = next(losses)
        return {
            "items": 3,
            "modes": {"autoregressive": {"loss": nats}, "parallel": {"loss": 2 * nats}},
        }

    def written(run, draws, how):
        assert how == "autoregressive"
        return [mdnn.Item("text", "two"), None] * (len(draws) // 2)

    monkeypatch.setattr("mdnn.tasks.item_evaluator.ItemEvaluator.metrics", evaluated)
    monkeypatch.setattr("mdnn.tasks.item_task.sample_answers", written)
    status, out, err = call("quantize", items_run, "--to", "float16", "--out", "small", "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["run"] == "small"
    assert [row["weights"] for row in result["rows"]] == ["float32", "float16"]
    assert [row["loss"]["parallel"] for row in result["rows"]] == [1.0, 1.5]
    assert all(row["speed"] > 0 for row in result["rows"])
    assert weights_dtype("small") == "float16"
    # What a network of items needs beside its weights is there.
    assert (folder / "small/item_statistics.json").read_bytes() == (
        items_run / "item_statistics.json"
    ).read_bytes()
    picture = mdnn.generate("small", ["two"], output="grey 4x4", decoding="parallel")
    assert picture.shape == (4, 4)


BAD = [
    (("RUN", "--to", "int6"), "to: unknown 'int6' (did you mean 'int"),
    (("none", "--to", "int8"), "none is not a run folder: there is nothing there"),
    ((".", "--to", "int8"), ". is not a run folder: it has no config.toml"),
    (("damaged", "--to", "int8"), "is not a readable safetensors file"),
    (("small", "--to", "int4"), "small has int8 weights already"),
    (("RUN", "--to", "int8", "--out", "small"), "small already exists"),
    (("RUN", "--to", "int8", "--out", "text"), "text already exists"),
    (("RUN", "--to", "int8", "--out", "text/b"), "text is a file, expected a folder to make b in"),
    (("RUN", "--to", "int8", "--out", "a", "--data", "none.txt"), "no such file or folder"),
    (("RUN", "--to", "int8", "--out", "a", "--data", "text"), "at least two characters"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input(call, folder, tiny_run, words, message):
    (folder / "text").write_bytes(b"a")
    mdnn.quantize(tiny_run, "int8", "small")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.toml").write_bytes((tiny_run / "config.toml").read_bytes())
    (folder / "damaged" / "model.safetensors").write_bytes(b"half a file")
    before = files(folder)
    status, out, err = call("quantize", *(tiny_run if word == "RUN" else word for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("mdnn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert files(folder) == before
