"""Several processes on this machine against one; what is said when one of them ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file

pytest.importorskip("jax", reason="the extra [jax] is not installed")
pytestmark = pytest.mark.long

QUICK = (
    "train.num_evaluations=0",
    "train.sample=0",
    "train.steps=20",
    "train.final_evaluation=200",
    "context.grid=[4, 4]",
    # Dropout draws the same numbers, however its positions are divided.
    "backbone.layer.1.dropout=0.1",
)
SECONDS = 280


def command(folder, out, *words, settings=()):
    """Returns the words of `mdnn train` of the tiny network."""
    each = [word for setting in (*QUICK, *settings) for word in ("--set", setting)]
    train = [sys.executable, "-m", "mdnn", "train", str(folder / "tiny.toml")]
    return [*train, "--out", str(folder / out), "--json", *each, *words]


def start(words, **environment):
    """Starts a command as a process with its streams in pipes."""
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": os.getcwd()} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, env=environment, text=True, **pipes)


def finish(process):
    """Returns exit status, standard output and the lines of standard error of a process."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, [line for line in err.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mesh")
    tiny.write_config(folder)
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    """Losses and weights of a run of one process."""
    status, _, err = finish(start(command(folder, "alone")))
    assert status == 0, err
    return results(folder / "alone")


def results(run):
    """Returns the losses of all steps and the weights of a run."""
    with open(run / "metrics.csv", encoding="utf-8") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    return np.array(losses), load_file(run / "model.safetensors")


def assert_equal(run, alone, weights_to=1e-5):
    losses, weights = results(run)
    assert len(losses) == 20
    np.testing.assert_allclose(losses, alone[0], atol=1e-5)
    for name, value in alone[1].items():
        np.testing.assert_allclose(weights[name], value, atol=weights_to, err_msg=name)


@pytest.mark.parametrize(
    ("count", "shares"),
    [(2, ()), (2, ("mesh.row=2",)), (4, ("mesh.batch=2", "mesh.row=2"))],
    ids=["batch", "row", "both"],
)
def test_processes_train_as_one_does(folder, alone, count, shares):
    name = f"run-{count}-{len(shares)}"
    words = command(folder, name, "--num-processes", str(count), settings=shares)
    status, out, err = finish(start(words))
    assert status == 0, err
    assert json.loads(out)["steps"] == 20
    assert_equal(folder / name, alone)


def test_a_killed_process_is_told_and_the_run_goes_on(folder, alone):
    slow = ("train.checkpoints.seconds=0", "train.steps=100000")
    process = start(command(folder, "killed", "--num-processes", "2", settings=slow))
    checkpoints = folder / "killed" / "checkpoints"
    end = time.monotonic() + SECONDS
    while not list(checkpoints.glob("step-*.safetensors")) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children, encoding="utf-8") as file:
        workers = [int(word) for word in file.read().split()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    killed = time.monotonic()
    status, _, err = finish(process)
    assert time.monotonic() - killed < 60
    assert status == 2
    assert "process 1 of 2 was ended by SIGKILL, the others with it; --resume goes on" in err[-1]
    # Whatever number of processes goes on from the checkpoint of another number.
    (newest, *_) = sorted(checkpoints.glob("step-*.safetensors"), reverse=True)
    step = int(newest.stem.removeprefix("step-"))
    words = ["--resume", "--json", "--set", f"train.steps={step + 2}"]
    train = [sys.executable, "-m", "mdnn", "train", str(folder / "tiny.toml")]
    train += ["--out", str(folder / "killed"), *words]
    status, out, err = finish(start([*train, "--set", "mesh.batch=1"]))
    assert status == 0, err
    assert json.loads(out)["steps"] == step + 2
    words[-1] = f"train.steps={step + 4}"
    status, out, err = finish(start([*train[:7], *words, "--num-processes", "2"]))
    assert status == 0, err
    assert json.loads(out)["steps"] == step + 4


def two_hosts(folder, first, second, port):
    """Runs both processes as two machines would, each with its settings; returns what both said."""
    words = ["--num-processes", "2", "--coordinator", f"127.0.0.1:{port}"]
    hosts = [
        start(command(folder, f"host-{port}", *words, "--process-id", str(k), settings=settings))
        for k, settings in enumerate((first, second))
    ]
    return [finish(host) for host in hosts]


def test_hosts_that_differ_say_so(folder):
    other = folder / "other.txt"
    other.write_text(tiny.TEXT.replace("cat", "cow"), encoding="utf-8")
    for port, second, said in (
        (12611, "train.batch_size=16", "differs from process 0 in its config: 'batch_size = 8'"),
        (12612, f"data.source={other}", "process 1 differs from process 0 in its data: "),
        (12613, "data.source=/nowhere.txt", "process 1: /nowhere.txt"),
    ):
        for status, _, err in two_hosts(folder, (), (second,), port):
            assert status == 2
            last = err[-1].replace("mdnn: error: process 1: ", "mdnn: error: ")
            assert said.replace("process 1: ", "") in last, err
        assert not (folder / f"host-{port}").exists()
