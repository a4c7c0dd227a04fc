"""One process with eight devices against one device, and what is refused before anything runs."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.cli import process_launcher
from mdnn.cli.parser import main
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.errors import MdnnError
from mdnn.tokens.characters import TextTokenizer
from mdnn.training.mesh import addresses, process_group

EIGHT = """
import json, sys
import jax, numpy as np
import mdnn
from mdnn.models.loss import loss_for
from mdnn.models.loss_model import LossModel
from mdnn.tasks.registry import task_for
from mdnn.training.mesh.device_mesh import DeviceMesh
from mdnn.training.mesh.mesh_step import MeshStep
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step_jax import JaxStep

config = mdnn.load_config(sys.argv[1], sys.argv[2:])
task = task_for(config).open()

def losses(devices):
    model = mdnn.build(config)
    loss_model = {None: LossModel(model, loss_for(config))}
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    more = () if devices is None else (devices,)
    step = (MeshStep if more else JaxStep)(loss_model, optimizer, "float32", None, None, *more)
    values = [float(step(task.batches.at(k), 0.01)) for k in range(3)]
    step.sync()
    return values, [np.asarray(v.value) for v in model.weights], step

one, weights, _ = losses(None)
eight, same, step = losses(DeviceMesh(config.mesh))
shares = step.devices.place_batch(task.batches.at(0))["tokens"].addressable_shards
print(json.dumps({
    "devices": jax.device_count(),
    "shares": [share.data.shape for share in shares],
    "losses": float(np.max(np.abs(np.subtract(one, eight)))),
    "weights": float(max(np.max(np.abs(a - b)) for a, b in zip(weights, same))),
    "learnt": one[0] - one[-1],
}))
"""
"""Takes three steps with one device and with a mesh; prints the largest differences."""


def test_eight_devices_of_one_process(tmp_path):
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    if keras.backend.backend() != "jax":
        pytest.skip("one backend is enough")
    path = str(tiny.write_config(tmp_path))
    settings = ("context.grid=[4, 4]", "mesh.batch=2", "mesh.row=4")
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", EIGHT, path, *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["devices"] == 8
    assert result["shares"] == [[4, 4, 8]] * 8
    assert result["losses"] < 1e-5
    assert result["weights"] < 1e-5
    assert result["learnt"] > 0.1


def test_a_part_of_a_batch_is_read_alone():
    tokenizer = TextTokenizer()
    texts = [tokenizer.ids("Some text, of 26 letters. " * 9), tokenizer.ids("Another one. " * 9)]
    batches = TextBatches(texts[0], tokenizer, 12, 6, seed=3, mixed=[(texts[1], 0.5)])
    assert batches.reads_parts
    whole = batches.at(5)
    assert {name: array.shape for name, array in whole.items()} == batches.shapes
    for examples, positions in ((slice(0, 2), slice(4, 8)), (slice(None), slice(None))):
        part = batches.part_at(5, examples, positions)
        for name, array in whole.items():
            np.testing.assert_array_equal(part[name], array[examples, positions])
    assert not TextBatches(texts[0], tokenizer, 12, 6, seed=3, padding="random").reads_parts


def test_a_mesh_needs_jax(tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("this is JAX")
    config = tiny.load_config(tmp_path, "mesh.batch=2")
    refused = "mesh: several devices or processes train with Keras on jax"
    if keras.backend.backend() == "torch":
        refused = "mdnn.train runs with Keras on"
    with pytest.raises(MdnnError, match=refused):
        mdnn.train(config, tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


def test_devices_are_as_many_as_shares(tmp_path):
    if keras.backend.backend() != "jax":
        pytest.skip("meshes are JAX's")
    with pytest.raises(MdnnError, match=r"mesh: batch = 2 takes 2 devices, this run has 1 \(cpu"):
        mdnn.train(tiny.load_config(tmp_path, "mesh.batch=2"), tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def backend(monkeypatch):
    """Commands whose processes would train on JAX, which need not be installed."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(process_launcher.importlib.util, "find_spec", lambda name: True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--process-id", "0"], "--num-processes: expected the number of all processes with"),
        (["--num-processes", "0"], "num_processes: expected a number of at least 1, received 0"),
        (["--num-processes", "2", "--process-id", "1"], "--coordinator: expected ADDRESS:PORT"),
        (
            ["--num-processes", "2", "--process-id", "2", "--coordinator", "a:1"],
            "process_id: expected a number from 0 to 1, received 2",
        ),
        (
            ["--num-processes", "2", "--process-id", "0", "--coordinator", "localhost"],
            "coordinator: expected ADDRESS:PORT such as 192.168.0.10:12321, received 'localhost'",
        ),
        (["--num-processes", "2", "--set", "mesh.batch=0"], "mesh.batch: expected a number of"),
    ],
)
def test_bad_numbers_are_refused(tmp_path, capsys, backend, words, message):
    path = str(tiny.write_config(tmp_path))
    assert main(["train", path, "--out", str(tmp_path / "run"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_other_backends_are_refused(tmp_path, capsys, backend, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    words = ["train", str(tiny.write_config(tmp_path)), "--out", str(tmp_path / "run")]
    assert main([*words, "--num-processes", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "received tensorflow: set KERAS_BACKEND=jax" in line


def test_a_port_in_use_is_told(tmp_path, capsys, backend):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = ["--num-processes", "2", "--process-id", "0", "--coordinator", f"127.0.0.1:{port}"]
        path = str(tiny.write_config(tmp_path))
        assert main(["train", path, "--out", str(tmp_path / "run"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"coordinator: port {port} of this machine cannot be used" in line


def test_an_address_nobody_answers_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = f"nobody answered at 127.0.0.1:{port} for 0.3 s"
    with pytest.raises(MdnnError, match=message):
        process_group.join_processes(2, 1, f"127.0.0.1:{port}", seconds=0.3)


def test_processes_of_the_environment(monkeypatch):
    for name in ("JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert addresses.processes_of_environment() == (None, None, None)
    assert process_group.join_processes().count == 1
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert addresses.processes_of_environment() == (4, 3, None)
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    with pytest.raises(MdnnError, match="expected whole numbers, received '2' and ''"):
        addresses.processes_of_environment()
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    assert addresses.processes_of_environment() == (2, 1, "host:1")


def test_one_process_agrees_with_itself():
    group = process_group.ProcessGroup()
    assert group.from_first(lambda: {"a": 1}) == {"a": 1}
    assert group.agree(lambda: 3, lambda made: {}) == 3
    group.share_values([])
    group.leave()


class Ended:
    """A process of a training that has ended."""

    def __init__(self, number, status, said=None):
        self.number, self.status, self.errors, self.said = number, status, said, said

    def reason(self):
        return self.said


@pytest.mark.parametrize(
    ("workers", "status"),
    [
        ([Ended(0, 0), Ended(1, 0)], 0),
        ([Ended(0, 130), Ended(1, 130)], 130),
        # The first process has said why.
        ([Ended(0, 2), Ended(1, 2, "the same")], 2),
        ([Ended(0, process_launcher.LOST)], 2),
    ],
)
def test_exit_status_of_all(workers, status):
    assert process_launcher._status(workers, len(workers), None) == status


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ([Ended(0, -6), Ended(1, -9, "")], "process 1 of 2 was ended by SIGKILL, the others with"),
        ([Ended(0, process_launcher.LOST), Ended(1, 2, "disk full")], "process 1 of 2: disk full"),
        (
            [Ended(0, -6), Ended(1, process_launcher.LOST, "")],
            "a process of 2 is gone; there is",
        ),
    ],
)
def test_what_is_said_of_a_failure(workers, message):
    with pytest.raises(MdnnError, match=message):
        process_launcher._status(workers, len(workers), None)
