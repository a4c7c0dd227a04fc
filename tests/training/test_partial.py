"""Training a part of the weights at a time."""

import math

import numpy as np
import pytest
import tiny
from backends import to_numpy
from gradients import loss_and_gradients, loss_model_gradients
from test_growing import same_runs
from test_trainer import stop

import mdnn
from mdnn.models.loss import loss_for
from mdnn.runs.safetensors_io import read_arrays
from mdnn.tasks.registry import task_for
from mdnn.training import checkpoint
from mdnn.training.plans.trained_part import TrainedPart

SETTINGS = (
    *tiny.QUICK,
    "backbone.depth=2",
    "backbone.layer.1.dropout=0.1",
    "train.deterministic=true",
    "train.steps=12",
)
RANDOM = (*SETTINGS, 'train.partial.select="random"', "train.partial.every=4")
TOP = (*SETTINGS, 'train.partial.select="top"')


def state_bytes(run):
    arrays, _ = read_arrays(checkpoint.newest(run))
    return sum(array.nbytes for name, array in arrays.items() if name.startswith("optimizer/"))


def changed_blocks(config, weights):
    """The numbers of the blocks, and the other layers, that differ from a new network's."""
    new, found = mdnn.build(config), set()
    for weight in new.weights:
        if not np.array_equal(np.asarray(weight), weights[weight.path]):
            name = weight.path.split("/")[0]
            found.add(int(name.split("_")[1]) if name.startswith("block_") else name)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("partial")
    config = tiny.load_config(folder, *RANDOM)
    return config, folder / "run", mdnn.train(config, folder / "run", show=False)


def test_random_blocks(trained, tmp_path):
    config, run, facts = trained
    assert facts["loss"] < 4.5
    # Two moments of every weight but those of one of the two blocks.
    network = mdnn.load(run)
    block = sum(math.prod(w.shape) for b in network.blocks[:2] for w in b.weights)
    state = 2 * 4 * (network.count_params() - block)
    assert state <= state_bytes(run) < state + 64
    # In the first period one group of blocks alone changes.
    first = mdnn.load_config(run / "config.toml", ["train.steps=4"])
    mdnn.train(first, tmp_path / "first", show=False)
    weights, _ = read_arrays(tmp_path / "first" / "model.safetensors")
    changed = changed_blocks(config, weights)
    assert {"embedding", "heads"} <= changed
    assert changed & {0, 1} in ({0}, {1})
    weights, _ = read_arrays(run / "model.safetensors")
    assert {0, 1} <= changed_blocks(config, weights)


@pytest.mark.long
@pytest.mark.parametrize("at", [6, 8])
def test_going_on(trained, tmp_path, monkeypatch, at):
    """Stopped inside a period, and between two, a training goes on to the same bits."""
    config, run, _ = trained
    with monkeypatch.context() as patch:
        stop(patch, at=at)
        assert mdnn.train(config, tmp_path / "run", show=False)["steps"] == at
    mdnn.train(config, tmp_path / "run", resume=True, show=False)
    same_runs(run, tmp_path / "run")


@pytest.mark.long
@pytest.mark.parametrize("settings", [RANDOM, TOP], ids=["random", "top"])
def test_gradients_of_a_part_are_those_of_the_whole(settings, tmp_path):
    """On either backend, to the rounding of float32."""
    # From it the weights of the two backends drift apart as fast as in ordinary training.
    config = tiny.load_config(tmp_path, *settings, "backbone.layer.1.dropout=0.0")
    network, loss = mdnn.build(config), loss_for(config)
    task = task_for(config, None).open()
    batch = task.batches.at(0)
    value, gradients = loss_and_gradients(network, loss, batch)
    paths = [weight.path for weight in network.trainable_variables]
    whole = dict(zip(paths, map(to_numpy, gradients), strict=True))
    part = TrainedPart(config, network, task)
    for name, one in part.networks.items():
        group = part.number_of(name)
        part.take(group)
        found, gradients = loss_model_gradients(part.loss_model(one, loss), batch)
        assert float(found) == pytest.approx(float(value), rel=1e-6)
        for weight, gradient in zip(part.parts[group], gradients, strict=True):
            expected = whole[weight.path]
            limit = 1e-6 * abs(expected).max()
            np.testing.assert_allclose(to_numpy(gradient), expected, rtol=1e-5, atol=limit)


def test_top_blocks(tmp_path):
    config = tiny.load_config(tmp_path, *TOP)
    mdnn.train(config, tmp_path / "run", show=False)
    weights, _ = read_arrays(tmp_path / "run" / "model.safetensors")
    changed = changed_blocks(config, weights)
    assert changed == {1, "final_norm", "heads"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.partial.blocks=3",), "train.partial.blocks: expected a divisor below"),
        (("train.partial.blocks=2",), "expected a divisor below backbone.depth = 2, received 2"),
        (("train.density=[0.5, 1.0]", "backbone.layer.1.width=64"), "train.density: expected"),
        (("train.ema_decay=0.9",), "train.ema_decay: expected 0 with train.partial.select"),
        (('train.method="blind"',), "train.method: expected 'gradient'"),
    ],
)
def test_what_does_not_go_together(settings, message, tmp_path):
    with pytest.raises(mdnn.MdnnError, match=message):
        tiny.load_config(tmp_path, *RANDOM, *settings)
