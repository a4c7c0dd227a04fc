"""Full disks, folders that cannot be written to, two at once, newer folders, wild losses."""

import contextlib
import csv
import errno
import json
import os
import resource
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tiny
from test_trainer import Pretence, stop

import mdnn
from mdnn import cli
from mdnn.runs.safetensors_io import read_arrays
from mdnn.training import checkpoint, run_output, run_training
from mdnn.training import trainer as loop
from mdnn.training.run_lock import locked
from mdnn.training.signals import Stopping

EVERY = ("train.checkpoints.seconds=0", "train.checkpoints.keep=3")


def pretend(folder, monkeypatch, *settings, out="run", resume=False, **pretence):
    """Trains without learning anything; returns what `train` does."""
    config = tiny.load_config(folder, *tiny.QUICK, *settings)
    Pretence(monkeypatch, seconds=25.0, **pretence)
    return mdnn.train(config, folder / out, resume=resume, show=False)


def held(folder):
    """What the files of a folder hold, but for those of the rows."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".csv"
    }


def on_the_command_line(capsys, *words):
    """The exit status and the one line on standard error."""
    capsys.readouterr()
    status = cli.main([*map(str, words)])
    lines = capsys.readouterr().err.splitlines()
    # Above it may be said how far training was.
    # Before it only where the run goes on, and how it gets on.
    others = [line for line in lines[:-1] if "character" not in line]
    others = [line for line in others if "was traced and compiled" not in line]
    assert not [line for line in others if not line.startswith("going on with")], lines
    return status, lines[-1]


def test_the_last_checkpoints_are_kept(tmp_path, monkeypatch):
    pretend(tmp_path, monkeypatch, *EVERY)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == [f"step-{step:09}.safetensors" for step in (18, 19, 20)]


def test_the_best_weights_are_kept(tmp_path):
    config = tiny.load_config(
        tmp_path, *tiny.QUICK, "train.num_evaluations=4", "train.optimizer.learning_rate=0.05"
    )
    mdnn.train(config, tmp_path / "run", show=False)
    with open(tmp_path / "run" / "metrics.csv", newline="", encoding="utf-8") as file:
        checks = {int(row["step"]): row["validation_loss"] for row in csv.DictReader(file)}
    checks = {step: float(nats) for step, nats in checks.items() if nats}
    assert len(checks) == 4
    arrays, about = read_arrays(tmp_path / "run" / checkpoint.BEST)
    best = min(checks, key=checks.get)
    assert int(about["step"]) == best
    assert float(about["validation_loss"]) == pytest.approx(checks[best], abs=1e-5)
    # In the form of a run's weights.
    shutil.copy(tmp_path / "run" / checkpoint.BEST, tmp_path / "run" / "model.safetensors")
    model = mdnn.load(tmp_path / "run")
    for weight in model.weights:
        np.testing.assert_array_equal(np.asarray(weight), arrays[weight.path])


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "progress"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, monkeypatch, capsys, damage):
    with pytest.raises(RuntimeError, match="power"):
        pretend(tmp_path, monkeypatch, *EVERY, fail_at=15)
    file = checkpoint.newest(tmp_path / "run")
    assert file.name == "step-000000015.safetensors"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    if damage == "progress":
        # One digit of the seconds, in the head of the file.
        at = data.index(b'seconds\\": ') + len('seconds\\": ')
        data[at] ^= 1
    file.write_bytes({"cut": data[:-1], "empty": b""}.get(damage, data))
    capsys.readouterr()
    config = tiny.load_config(tmp_path, *tiny.QUICK, *EVERY)
    pretence = Pretence(monkeypatch, seconds=25.0)
    result = mdnn.train(config, tmp_path / "run", resume=True)
    assert len(pretence.rates) == 20 - 14
    assert result["seconds"] == 500
    said = [line for line in capsys.readouterr().err.splitlines() if "going on from" in line]
    assert len(said) == 1
    assert "step-000000015.safetensors" in said[0]
    assert said[0].endswith("going on from step-000000014.safetensors, the one before")
    assert mdnn.load(tmp_path / "run")


def test_no_checkpoint_that_can_be_read(tmp_path, monkeypatch):
    pretend(tmp_path, monkeypatch, *EVERY)
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    before = held(tmp_path / "run")
    with pytest.raises(
        mdnn.MdnnError, match=r"step-000000020.* is not a readable safetensors file"
    ):
        pretend(tmp_path, monkeypatch, *EVERY, resume=True)
    assert held(tmp_path / "run") == before


def test_killed_before_the_first_checkpoint(tmp_path, monkeypatch):
    words = (*tiny.WORDS, *EVERY)
    with pytest.raises(RuntimeError, match="power"):
        pretend(tmp_path, monkeypatch, *words, fail_at=0)
    for file in ("run.json", "words.json", "metrics.csv", "times.csv"):
        (tmp_path / "run" / file).unlink()
    (tmp_path / "run" / ".words.json.abcdefgh.part").write_bytes(b"half")
    assert pretend(tmp_path, monkeypatch, *words, resume=True)["steps"] == 20
    assert mdnn.load(tmp_path / "run")


def test_what_a_killed_process_left_is_swept(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="power"):
        pretend(tmp_path, monkeypatch, *EVERY, fail_at=5)
    for name in ("checkpoints/.tmpA1b2C3", ".config.toml.abcdefgh.part"):
        (tmp_path / "run" / name).write_bytes(b"half")
    pretend(tmp_path, monkeypatch, *EVERY, resume=True)
    assert [path.name for path in (tmp_path / "run").rglob(".*")] == []


@contextlib.contextmanager
def files_of_at_most(size):
    """The system refuses to make any file larger, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 500, 20_000])
def test_a_full_disk(tmp_path, monkeypatch, capsys, size):
    pretend(tmp_path, monkeypatch)
    before = held(tmp_path / "run")
    Pretence(monkeypatch, seconds=25.0)
    tiny.write_config(tmp_path)
    command = ("train", tmp_path / "tiny.toml", "--out", tmp_path / "run", "--resume")
    sets = ["--set", "train.steps=40"]
    with files_of_at_most(size):
        status, error = on_the_command_line(capsys, *command, *sets)
    assert status == 2
    assert error.startswith(f"mdnn: error: File too large: {tmp_path / 'run'}/")
    assert held(tmp_path / "run") == before
    # With room again it goes on.
    pretend(tmp_path, monkeypatch, "train.steps=40", resume=True)
    with open(tmp_path / "run" / "metrics.csv", newline="", encoding="utf-8") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, 41))


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_no_space_left(tmp_path, monkeypatch, name):
    pretend(tmp_path, monkeypatch)
    before = held(tmp_path / "run")
    real, calls = getattr(os, name), []
    monkeypatch.setattr(run_output, "sync", lambda path: None)

    def full(*args):
        calls.append(args)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, name, full)
    with pytest.raises(OSError, match="No space left on device") as error:
        pretend(tmp_path, monkeypatch, "train.steps=40", resume=True)
    assert str(tmp_path / "run") in str(error.value.filename)
    after = held(tmp_path / "run")

    # New checkpoints may be there, in the place of older ones; nothing else has changed.
    def stays(files):
        return {name: data for name, data in files.items() if "/step-" not in name}

    assert stays(after) == stays(before)
    assert checkpoint.newest(tmp_path / "run").name >= "step-000000020.safetensors"
    assert not [name for name in after if name.endswith(".part")]


@contextlib.contextmanager
def anybody():
    """The rights of somebody who owns nothing, where tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_cannot_be_written_to(open_folder, monkeypatch, capsys):
    pretend(open_folder, monkeypatch)
    for path in open_folder.rglob("*"):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555)
    before = held(open_folder)
    Pretence(monkeypatch, seconds=25.0)
    config, run = open_folder / "tiny.toml", open_folder / "run"
    for words in (("--out", run, "--resume"), ("--out", run / "new")):
        with anybody():
            status, error = on_the_command_line(
                capsys, "train", config, *words, "--set", "train.steps=40"
            )
        assert status == 2
        assert error.startswith(f"mdnn: error: Permission denied: {run}")
    assert held(open_folder) == before


def test_two_processes_in_one_folder(tmp_path, monkeypatch, capsys):
    pretend(tmp_path, monkeypatch)
    before = held(tmp_path / "run")
    Pretence(monkeypatch)
    command = ("train", tmp_path / "tiny.toml", "--out", tmp_path / "run", "--resume")
    with locked(tmp_path / "run"):
        status, error = on_the_command_line(capsys, *command, "--set", "train.steps=40")
    assert status == 2
    assert "run is being trained by another process" in error
    assert held(tmp_path / "run") == before
    # A new folder that another process fills meanwhile is not taken either.
    real = run_training.locked

    @contextlib.contextmanager
    def late(path):
        (path / "config.toml").write_text("seed = 1")
        with real(path):
            yield

    monkeypatch.setattr(run_training, "locked", late)
    with pytest.raises(mdnn.MdnnError, match="already exists"):
        pretend(tmp_path, monkeypatch, out="other")
    assert held(tmp_path / "other") == {"config.toml": b"seed = 1"}


def test_a_folder_of_a_newer_version(tmp_path, monkeypatch, capsys):
    pretend(tmp_path, monkeypatch)
    run, config = tmp_path / "run", tmp_path / "tiny.toml"
    about = json.loads((run / "run.json").read_text())
    assert about == {"format": 1, "mdnn": mdnn.__version__}
    (run / "run.json").write_text(json.dumps({"format": 2, "mdnn": "9.1", "more": [1]}))
    # A key that this version does not know is not what is complained about.
    (run / "config.toml").write_text("telepathy = true")
    before = held(run)
    for words in (("train", config, "--out", run, "--resume"), ("evaluate", run)):
        status, error = on_the_command_line(capsys, *words)
        assert status == 2
        assert "is a run folder of form 2, made by mdnn 9.1" in error
    assert held(run) == before
    (run / "run.json").write_text('{"format": "1"}')
    with pytest.raises(mdnn.MdnnError, match=r"run\.json: expected a number as its format"):
        mdnn.load(run)


class Wild(Pretence):
    """Steps of which some cannot be learned from; the learning rate says which step it is."""

    def __init__(self, monkeypatch, bad, fault=(3, 1e30), loss=float("nan")):
        super().__init__(monkeypatch, seconds=25.0)
        self.bad, self.wild = bad, (fault, loss)

    def __call__(self, batch, rate, way):
        step = len(self.rates)
        super().__call__(batch, rate, way)
        self.fault, loss = self.wild if step in self.bad else ((-1, 0.0), 2.0)
        return loss


def test_a_wild_step_stops_the_run(tmp_path, monkeypatch):
    config = tiny.load_config(tmp_path, *tiny.QUICK, *EVERY)
    Wild(monkeypatch, bad=[12])
    with pytest.raises(mdnn.MdnnError) as error:
        mdnn.train(config, tmp_path / "run", show=False)
    rate = loop.rate_at(config.train.optimizer, 12, 12 / 20)
    name = mdnn.build(config).trainable_variables[3].path
    assert str(error.value) == (
        f"the loss is nan at step 13 (learning rate {rate:.2e}, largest gradient: 1e+30, of "
        f"{name}); {tmp_path / 'run'} has its last checkpoint, step-000000012.safetensors"
    )
    # That one stands, and holds numbers.
    Pretence(monkeypatch, seconds=25.0)
    assert mdnn.train(config, tmp_path / "run", resume=True, show=False)["steps"] == 20


def test_wild_steps_are_skipped(tmp_path, monkeypatch, capsys):
    config = tiny.load_config(tmp_path, *tiny.QUICK, *EVERY, 'train.not_finite="skip"')
    Wild(monkeypatch, bad=[0, 12, 13], fault=(0, float("inf")), loss=3.0)
    result = mdnn.train(config, tmp_path / "run")
    assert (result["steps"], result["skipped"]) == (20, 3)
    said = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert [line.split(" (")[0] for line in said] == [
        f"the loss is 3 at step {step}" for step in (1, 13, 14)
    ]
    assert "largest gradient: not finite, of embedding/" in said[0]
    with open(tmp_path / "run" / "metrics.csv", newline="", encoding="utf-8") as file:
        nats = [row["train_loss"] for row in csv.DictReader(file)]
    assert nats == ["", *["2.00000"] * 19]


def test_too_many_wild_steps(tmp_path, monkeypatch):
    steps = ("train.steps=300", 'train.not_finite="skip"')
    config = tiny.load_config(tmp_path, *tiny.QUICK, *steps)
    Wild(monkeypatch, bad=range(50, 300))
    with pytest.raises(mdnn.MdnnError, match=r"^the loss is nan at step 150 "):
        mdnn.train(config, tmp_path / "run", show=False)


def test_a_learning_rate_that_is_too_high(tmp_path):
    high = (
        'train.optimizer.name="sgd"',
        "train.optimizer.learning_rate=1e30",
        "train.optimizer.clip_norm=0",
    )
    config = tiny.load_config(tmp_path, *tiny.QUICK, *high, "train.optimizer.warmup_steps=0")
    with pytest.raises(mdnn.MdnnError, match=r"at step \d+ \(learning rate .*e\+29, largest gr"):
        mdnn.train(config, tmp_path / "run", show=False)
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.long
def test_half_precision_with_a_scaled_loss(tmp_path, monkeypatch):
    settings = (*tiny.QUICK, 'train.precision="float16"', "train.num_evaluations=1")
    # A sample, for which more is compiled than for all steps, in one of them.
    config = tiny.load_config(tmp_path, *settings, "train.sample=3")
    whole = mdnn.train(config, tmp_path / "whole", show=False)
    config = tiny.load_config(tmp_path, *settings)
    stop(monkeypatch, at=10)
    assert mdnn.train(config, tmp_path / "parts", show=False)["stopped"]
    mdnn.train(config, tmp_path / "parts", resume=True, show=False)
    one, other = (read_arrays(checkpoint.newest(tmp_path / name))[0] for name in ("whole", "parts"))
    assert "optimizer/scaled/dynamic_scale" in one
    for name, array in one.items():
        assert array.dtype in ("float32", "int32", "uint32", "int64"), name
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    with open(tmp_path / "whole" / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"]) - 0.2
    # What a run answers with is computed in float32, in training as later.
    found = mdnn.evaluate(tmp_path / "whole", sliding=False)
    assert found["loss"] == pytest.approx(whole["loss"], rel=1e-6)


@pytest.fixture
def own_signals():
    """Python's own answer to Ctrl-C, which a process that a shell put aside (`&`) lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("own_signals")
def test_a_signal_waits_for_the_step_to_end():
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        with Stopping() as stopping:
            assert not stopping.asked
            signal.raise_signal(number)
            assert stopping.asked
            assert signal.getsignal(number) is before
        assert signal.getsignal(number) is before
    with Stopping() as stopping:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_systems_word_to_end_stops_training(tmp_path, monkeypatch):
    real = loop.make_step

    def make(*args, **how):
        step, calls = real(*args, **how), []

        def run(*given):
            calls.append(given)
            if len(calls) == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            loss = step(*given)
            run.fault = step.fault
            return loss

        run.sync = step.sync
        return run

    monkeypatch.setattr(loop, "make_step", make)
    config = tiny.load_config(tmp_path, *tiny.QUICK)
    result = mdnn.train(config, tmp_path / "run", show=False)
    # The step that was being taken is taken and counted.
    assert (result["stopped"], result["steps"]) == (True, 7)
    assert checkpoint.newest(tmp_path / "run").name == "step-000000007.safetensors"


def test_the_same_seed_gives_the_same_run(tmp_path):
    settings = (*tiny.QUICK, "train.num_evaluations=2", "backbone.layer.1.dropout=0.2")
    runs = {}
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        config = tiny.load_config(tmp_path, *settings, f"seed={seed}")
        mdnn.train(config, tmp_path / name, show=False)
        runs[name] = [
            (tmp_path / name / file).read_bytes() for file in ("metrics.csv", "model.safetensors")
        ]
    assert runs["one"] == runs["two"]
    assert runs["one"][0] != runs["other"][0]


def test_a_run_folder_of_an_older_mdnn(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("[[backbone.branch]]\n[train]\nsteps = 1\n")
    config = tiny.write_config(tmp_path)
    for path in (config, run / "config.toml"):
        assert cli.main(["train", str(path), "--out", str(run), "--resume"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
        assert "config.toml was made by an older mdnn, whose config keys had other names" in line
