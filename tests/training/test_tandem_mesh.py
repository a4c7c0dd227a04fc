"""Members in tandem that several devices, or processes, divide among themselves."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny
from test_mesh_processes import assert_equal, command, finish, results, start

from mdnn.errors import MdnnError

pytest.importorskip("jax", reason="the extra [jax] is not installed")

TANDEM = (
    "tandem.members=4",
    "tandem.exchange=3",
    "tandem.exchange_from=0",
    "tandem.exchange_full=0",
)

DEVICES = """
import json, sys
import jax, numpy as np
import mdnn
from mdnn.models.loss import loss_for
from mdnn.tasks.registry import task_for
from mdnn.training.mesh.collectives import exchanged_bytes
from mdnn.training.mesh.device_mesh import DeviceMesh
from mdnn.training.mesh.mesh_step import MeshStep
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step_jax import JaxStep

def trained(config, devices=None):
    task, model = task_for(config).open(), mdnn.build(config)
    loss_model = {None: task.loss_model(model, loss_for(config))}
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    more = () if devices is None else (devices,)
    step = (MeshStep if more else JaxStep)(loss_model, optimizer, "float32", None, None, *more)
    feed = task.feed()
    feed.follow(step)
    losses = [float(step(feed.batch(k), 0.01)) for k in range(5)]
    shard, exchanged = None, None
    if more:
        copies = [*step.values[0], *step.values[2]]
        shard = sorted({x.addressable_shards[0].data.shape[0] for x in copies if x.ndim > 1})
        batch = step.shared_batch(feed.batch(5))
        program = step.compiled[None].lower(*step.values, batch, np.float32(0), step.control())
        exchanged = sum(exchanged_bytes(program.compile().as_text()).values())
    step.sync()
    weights = [np.asarray(v.value) for v in [*model.weights, *optimizer.variables]]
    return losses, weights, shard, exchanged

found = {}
for stale in (0, 2):
    config = mdnn.load_config(sys.argv[1], [*sys.argv[2:], f"tandem.stale={stale}"])
    one, weights, _, _ = trained(config)
    several, same, shard, exchanged = trained(config, DeviceMesh(config.mesh))
    found[stale] = {
        "losses": float(np.max(np.abs(np.subtract(one, several)))),
        "weights": float(max(np.max(np.abs(a - b)) for a, b in zip(weights, same))),
        "learnt": one[0] - one[-1],
        "shard": shard,
        "exchanged": exchanged,
    }
print(json.dumps(found))
"""
"""Takes five steps with one device and with a mesh; prints the largest differences."""


def test_four_devices_of_one_process(tmp_path):
    if keras.backend.backend() != "jax":
        pytest.skip("one backend is enough")
    path = str(tiny.write_config(tmp_path))
    settings = ("context.grid=[4, 4]", *TANDEM, "mesh.batch=2", "mesh.members=2")
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", DEVICES, path, *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for result in results.values():
        assert result["losses"] < 1e-5
        assert result["weights"] < 1e-5
        assert result["learnt"] > 0.05
        # Each device has two of four members, with their optimizer's state.
        assert result["shard"] == [2]
    # Probabilities of 8 x 16 positions are exchanged in steps that are exact.
    assert results["2"]["exchanged"] < results["0"]["exchanged"] - 4 * 64 * 256, results


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("mesh.members=2",), "mesh.members: unknown axis 'members'"),
        ((*TANDEM, "mesh.members=3"), "expected a divisor of tandem.members = 4, received 3"),
        (
            (*TANDEM, "mesh.members=2", "context.grid=[4, 4]", "mesh.row=2"),
            "mesh.row: expected no shares of an axis with mesh.members",
        ),
    ],
)
def test_meshes_that_do_not_fit(tmp_path, settings, message):
    with pytest.raises(MdnnError, match=message):
        tiny.load_config(tmp_path, *settings)


@pytest.mark.long
@pytest.mark.parametrize("stale", [0, 3])
def test_processes_train_as_one_does(tmp_path, stale):
    """Two processes, with two members each."""
    tiny.write_config(tmp_path)
    settings = (*TANDEM, f"tandem.stale={stale}")
    runs = {"alone": (), "both": ("--num-processes", "2")}
    started = [
        start(command(tmp_path, name, *words, settings=settings)) for name, words in runs.items()
    ]
    for process in started:
        status, out, err = finish(process)
        assert status == 0, err
        assert json.loads(out)["steps"] == 20
    assert "[mesh]\nmembers = 2" in (tmp_path / "both" / "config.toml").read_text("utf-8")
    # The exact exchange adds probabilities in another order, and Adam divides small gradients by
    # their own size: 1.8e-5 in 24 of 4,096 weights.
    assert_equal(tmp_path / "both", results(tmp_path / "alone"), 1e-5 if stale else 5e-5)


@pytest.mark.long
def test_other_numbers_of_processes_go_on(tmp_path):
    """One process goes on from the checkpoint of two, between two copies, and two from its."""
    path = tiny.write_config(tmp_path)
    # A resumed run takes no other settings: the file has to name members for `mesh.members`.
    keys = "\n".join(each.replace("tandem.", "") for each in (*TANDEM, "tandem.stale=3"))
    path.write_text(f"{path.read_text('utf-8')}\n[tandem]\n{keys}\n", encoding="utf-8")
    settings = ("train.steps=4",)
    words = command(tmp_path, "run", "--num-processes", "2", settings=settings)
    more = [*words[:5], "--resume", *words[5:8]]
    for number, steps, one in (
        (words, 4, ()),
        (more, 5, ("--set", "mesh.members=1")),
        (more, 8, ("--num-processes", "2", "--set", "mesh.members=2")),
    ):
        again = ("--set", f"train.steps={steps}", *one) if one else ()
        status, out, err = finish(start([*number, *again]))
        assert status == 0, err
        assert json.loads(out)["steps"] == steps
        assert np.isfinite(json.loads(out)["loss"])
