"""The commands from end to end, and what bad input gets: one line, status 2, nothing left."""

import json
import math
import os
import re
import subprocess
import sys

import keras
import pytest
import tiny

import mdnn
from mdnn.cli import main

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.fixture
def call(capfd):
    """Runs a command; returns its status, standard output and standard error."""

    def run(*words):
        status = main([str(word) for word in words])
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with tiny.toml and its text."""
    tiny.write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_bytes(folder, name):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(b"saved")


def settings(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_train(call, folder):
    quick = settings(*tiny.QUICK)
    status, out, err = call("train", "tiny.toml", "--out", "runs/a", *quick, "--json")
    assert status == 0
    assert out.count("\n") == 1
    result = json.loads(out)
    assert set(result) == {
        "loss",
        "bits_per_character",
        "characters",
        "parameters",
        "steps",
        "seconds",
        "characters_per_second",
        "stopped",
        "signal",
        "run",
        "wall_seconds",
    }
    assert result["steps"] == 20
    assert result["run"] == "runs/a"
    assert mdnn.evaluate("runs/a", sliding=False)["loss"] == pytest.approx(result["loss"])
    # Progress, and nothing of what TensorFlow says when it starts.
    first, _, progress = err.partition("\n")
    assert re.fullmatch(
        r"autoregressive: the first step was traced and compiled( as .*)? in [\d.]+ s", first
    )
    assert re.fullmatch(r"( *\d+%  .* nats  .* left  step \d+\n)+", progress)

    more = settings("train.steps=25")
    status, out, _ = call("train", "tiny.toml", "--out", "runs/a", "--resume", *more)
    assert status == 0
    assert re.fullmatch(
        r"\d\.\d{4} nats, \d\.\d{4} bits per character: each character is guessed as well as "
        r"one of \d+\.\d equally likely ones \(259 characters, consecutive windows of 8\)\n"
        rf"{result['parameters']:,} parameters, 25 steps in \d+ s "
        r"\(\d+ s since the command began\); saved in runs/a\n",
        out,
    )


def test_train_refuses_a_folder_that_is_there(call, folder, tiny_run):
    before = {path: path.read_bytes() for path in tiny_run.rglob("*") if path.is_file()}
    status, out, err = call("train", "tiny.toml", "--out", tiny_run)
    assert (status, out) == (2, "")
    assert err.startswith(f"mdnn: error: {tiny_run} already exists")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tiny_run.rglob("*") if path.is_file()} == before


def test_generate(call, tiny_run):
    run = tiny_run
    assert call("generate", tiny_run, "--prompt", "The ", "--length", 0) == (0, "The \n", "")
    options = ("--length", 30, "--temperature", 1.5, "--seed", 4, "--top-k", 9, "--top-p", 0.9)
    status, out, err = call("generate", tiny_run, "--prompt", "Ça 😀", *options)
    assert (status, err) == (0, "")
    assert (
        out
        == "Ça 😀"
        + mdnn.generate(run, "Ça 😀", length=30, temperature=1.5, seed=4, top_k=9, top_p=0.9)
        + "\n"
    )
    # Longer than the context.
    prompt = "The cat sat on the mat. "
    _, out, _ = call("generate", tiny_run, "--prompt", prompt, "--length", 20, "--greedy")
    assert out == prompt + mdnn.generate(run, prompt, length=20, temperature=0) + "\n"


def test_evaluate(call, folder, tiny_run):
    status, out, err = call("evaluate", tiny_run, "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result == pytest.approx(mdnn.evaluate(tiny_run))
    assert set(result) == {
        f"{name}{end}"
        for name in ("loss", "bits_per_character", "characters")
        for end in ("", "_sliding")
    }
    (folder / "other.txt").write_text("The dog sat. Ça va?", encoding="utf-8")
    status, out, _ = call("evaluate", tiny_run, "--data", "other.txt")
    expected = mdnn.evaluate(tiny_run, "The dog sat. Ça va?")
    assert status == 0
    assert out == (
        f"{expected['loss']:.4f} nats, {expected['bits_per_character']:.4f} bits per character: "
        f"each character is guessed as well as one of {math.exp(expected['loss']):.1f} equally "
        "likely ones (18 characters, consecutive windows of 8)\n"
        f"{expected['loss_sliding']:.4f} nats, {expected['bits_per_character_sliding']:.4f} bits "
        "per character (sliding window: at least 4 positions before each counted character)\n"
    )


def test_inspect(call, folder, tiny_run):
    status, out, err = call("inspect", "tiny.toml", "--json", *settings("context.grid=[2, 4]"))
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts["grid"] == [2, 4]
    assert facts["positions"] == facts["receptive_field"] == 8
    assert {"parameters", "layers", "operations_per_position", "bytes_per_position"} <= set(facts)
    _, out, _ = call("inspect", tiny_run, "--json")
    assert json.loads(out)["parameters"] == mdnn.load(tiny_run).count_params()
    status, out, _ = call("inspect", tiny_run)
    assert status == 0
    assert "8 of 8 positions" in out
    assert f"{json.loads(call('inspect', tiny_run, '--json')[1])['parameters']:,} param" in out
    status, _, err = call("inspect", tiny_run, *settings("seed=1"))
    assert (status, err.count("\n")) == (2, 1)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="SavedModels are TensorFlow's")
def test_export(call, folder, tiny_run, monkeypatch):
    from mdnn.serving.export import saved_model as export

    # What is saved is tested in tests/serving; saving takes seconds.
    monkeypatch.setattr(
        export.tf.saved_model, "save", lambda _, path, **__: write_bytes(path, "saved_model.pb")
    )
    monkeypatch.setattr(export, "keep_variables", lambda folder: None)
    status, out, err = call("export", tiny_run, "served")
    assert (status, out, err) == (0, "served/1\n", "")
    assert (folder / "served" / "1" / "saved_model.pb").is_file()


BAD_CONFIGS = [
    (["context.gird=[8]"], "unknown key 'context.gird' (did you mean 'grid'?)"),
    (["trian.steps=3"], "unknown key 'trian' (did you mean 'train'?)"),
    (["context.grid=[]"], "context.grid: expected at least one axis"),
    (["context.grid=[0, 8]"], "context.grid.0: expected at least 1, received 0"),
    (["context.grid=8"], "context.grid: expected a list, received 8"),
    (["context.grid=[2.5]"], "context.grid.0: expected a whole number"),
    (["backbone.layer.0.mixer.0.groups=3"], "groups: expected a divisor of backbone.width = 16"),
    (
        ["backbone.layer.0.mixer.0.kind=attention", "backbone.layer.0.mixer.0.heads=3"],
        "heads: expected a divisor of backbone.width = 16, received 3",
    ),
    (["backbone.layer.0.mixer.0.axes=[2]"], "axes: expected numbers from 1 to 1"),
    (["train.minutes=soon"], "train.minutes: expected a number, received 'soon'"),
    (["seed"], "expected KEY=VALUE, received 'seed'"),
    (["data.source=\udcff"], "data.source: expected a string"),
]


@pytest.mark.parametrize(("pairs", "message"), BAD_CONFIGS)
@pytest.mark.parametrize("command", ["train", "inspect"])
def test_bad_configs(call, folder, command, pairs, message):
    before = files(folder)
    out_option = ("--out", "runs/a") if command == "train" else ()
    status, out, err = call(command, "tiny.toml", *out_option, *settings(*pairs))
    assert (status, out) == (2, "")
    assert err.startswith("mdnn: error: tiny.toml: ")
    assert message in err
    assert err.count("\n") == 1
    assert files(folder) == before


def test_sizes_that_only_the_layers_refuse(call, folder):
    tied = settings("context.grid=[2, 4]", "backbone.layer.0.mixer.0.sharing=tied")
    before = files(folder)
    for words in (("train", "tiny.toml", "--out", "a"), ("inspect", "tiny.toml")):
        status, out, err = call(*words, *tied)
        assert (status, out) == (2, "")
        assert err.startswith("mdnn: error: this network cannot be built: ")
        assert err.count("\n") == 1
        assert files(folder) == before


BAD_FILES = [
    (("train", "none.toml", "--out", "a"), "no config file at none.toml"),
    (("train", ".", "--out", "a"), ". is a folder, expected a config file"),
    (
        ("train", "latin.txt", "--out", "a"),
        "latin.txt cannot be read: it is not UTF-8 text: byte 0xe9",
    ),
    (("inspect", "none.toml"), "no config file at none.toml"),
    (("inspect", "."), ". is not a run folder: it has no config.toml"),
    (("train", "tiny.toml", "--out", "a", "--set", "data.source=none.txt"), "'none.txt'"),
    (("train", "tiny.toml", "--out", "a", "--set", "data.source="), "expected a source"),
    (("train", "tiny.toml", "--out", "a", "--set", "data.source=empty.txt"), "it is empty"),
    (("train", "tiny.toml", "--out", "a", "--set", "data.source=latin.txt"), "is not UTF-8 text"),
    (("train", "tiny.toml", "--out", "a", "--set", "data.source=short.txt"), "is too short"),
    (("train", "tiny.toml", "--out", "a", "--resume"), "a is not a run folder to resume"),
    (("train", "tiny.toml", "--out", "a", "--resume", "--set", "seed=2"), "received 'seed=2'"),
    (("train", "tiny.toml", "--out", "empty.txt"), "empty.txt already exists and is a file"),
    (("train", "tiny.toml", "--out", "empty.txt/a"), "Not a directory: empty.txt/a"),
    (("generate", "none", "--prompt", "The "), "none is not a run folder: there is nothing there"),
    (("generate", ".", "--prompt", "The "), ". is not a run folder: it has no config.toml"),
    (
        ("generate", "empty.txt", "--prompt", "The "),
        "empty.txt is not a run folder: there is a file",
    ),
    (("generate", "damaged", "--prompt", "The "), "is not a readable safetensors file"),
    (("generate", "RUN", "--prompt", ""), "prompt: expected a string of at least one character"),
    (("generate", "RUN", "--prompt", "\udcff"), "prompt: expected a string of Unicode characters"),
    (
        ("generate", "RUN", "--prompt", "T", "--length", "-1"),
        "length: expected a whole number from 0 to 10,000,000",
    ),
    (("generate", "RUN", "--prompt", "T", "--top-p", "2"), "top_p: expected a number above 0"),
    (("evaluate", "none"), "none is not a run folder"),
    (("evaluate", "RUN", "--data", "none.txt"), "no such file or folder: 'none.txt'"),
    (("evaluate", "RUN", "--data", "empty.txt"), "no text in 'empty.txt': it is empty"),
    (("evaluate", "RUN", "--data", "latin.txt"), "'latin.txt' is not UTF-8 text: byte 0xe9"),
    (("evaluate", "RUN", "--data", "one.txt"), "at least two characters to evaluate, received 1"),
    (("export", "none", "served"), "none is not a run folder"),
    (("export", "damaged", "served"), "is not a readable safetensors file"),
]
if ON_TENSORFLOW:
    BAD_FILES.append((("export", "RUN", "empty.txt"), "empty.txt is a file, expected a folder"))
else:
    BAD_FILES = [case for case in BAD_FILES if case[0][0] != "export"]


@pytest.mark.parametrize(("words", "message"), BAD_FILES)
def test_bad_files_and_settings(call, folder, tiny_run, words, message):
    (folder / "empty.txt").write_bytes(b"")
    (folder / "one.txt").write_bytes(b"a")
    (folder / "short.txt").write_bytes(b"too short")
    (folder / "latin.txt").write_bytes("caf\xe9 au lait".encode("latin-1"))
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.toml").write_bytes((tiny_run / "config.toml").read_bytes())
    (folder / "damaged" / "model.safetensors").write_bytes(b"half a file")
    before = files(folder)
    status, out, err = call(*(tiny_run if word == "RUN" else word for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("mdnn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert files(folder) == before


def test_a_wrong_config_does_not_wait_for_tensorflow(folder):
    code = (
        "import sys; from mdnn.cli import main; status = main(sys.argv[1:])\n"
        "sys.exit(status if not {'tensorflow', 'keras', 'jax'} & set(sys.modules) else 'slow')"
    )
    for words in (("train", "tiny.toml", "--out", "a"), ("inspect", "tiny.toml")):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--set", "context.gird=[8]"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "mdnn: error: tiny.toml: unknown key 'context.gird' (did you mean 'grid'?)\n"
        )


def test_ctrl_c_outside_of_training(call, tiny_run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mdnn.tasks.evaluate.evaluate", interrupted)
    assert call("evaluate", tiny_run) == (130, "", "\nmdnn: stopped\n")


@pytest.fixture(scope="module")
def environment():
    """Where `python -m mdnn` finds mdnn; nothing that would quieten TensorFlow."""
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {k: v for k, v in os.environ.items() if not k.startswith("TF_")} | paths


def program(environment, *words):
    """Runs `python -m mdnn`; returns its standard output. Nothing else is written."""
    done = subprocess.run(
        [sys.executable, "-m", "mdnn", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_as_a_program(tiny_run, environment):
    """Standard output is the result alone, standard error is empty: no greetings."""
    shown = json.loads(program(environment, "evaluate", str(tiny_run), "--json"))
    assert shown == pytest.approx(mdnn.evaluate(tiny_run), rel=1e-5)


def test_a_short_text_from_a_program(tiny_run, environment):
    """Keras writes it without XLA; TensorFlow's words about its libraries are not shown."""
    words = ["generate", str(tiny_run), "--prompt", "The ", "--length", "20"]
    assert program(environment, *words).startswith("The ")


def test_a_reader_that_has_enough(tiny_run, environment):
    """`mdnn generate … | head` ends quietly; in a terminal without Unicode, too."""
    words = ["generate", str(tiny_run), "--prompt", "Ça ", "--length", "9000"]
    with subprocess.Popen(
        [sys.executable, "-m", "mdnn", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"PYTHONIOENCODING": "ascii"},
    ) as program:
        assert program.stdout.read(5).startswith(b"?a ")
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait() == 0


@pytest.mark.parametrize("module", ["mdnn", "mdnn.cli"])
def test_both_modules_start_the_command_line(module):
    """Scripts of others call either."""
    words = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()[0]) == (0, "mdnn")
