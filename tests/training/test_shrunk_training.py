"""Shrinking a training: moments, averages and steps of what stays, going on."""

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.growth.slices import weight_slices
from mdnn.runs.origin import read_origin
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import read_arrays
from mdnn.training import checkpoint
from mdnn.training.growing.run_state import state_of

QUICK = (*tiny.QUICK, "train.steps=6", "train.deterministic=true", "train.ema_decay=0.9")
LARGER = ("context.grid=[2, 8]", "backbone.depth=2", "backbone.layer.1.width=48")
SMALLER = ("context.grid=[8]", "backbone.depth=1", "backbone.layer.1.width=32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shrunk")
    config = tiny.load_config(folder, *QUICK, "backbone.layer.1.dropout=0.1")
    mdnn.train(config, folder / "run", show=False)
    return folder / "run"


def newest(run):
    return read_arrays(checkpoint.newest(run))[0]


def test_growing_and_shrinking_back(trained, tmp_path):
    """The whole state comes back, bit by bit, and the training goes on as if nothing had been."""
    mdnn.grow(trained, tmp_path / "grown", LARGER)
    facts = mdnn.shrink(tmp_path / "grown", tmp_path / "back", overrides=SMALLER)
    back = tmp_path / "back"
    assert facts["step"] == 6
    before, after = newest(trained), newest(back)
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].tobytes() == after[name].tobytes(), name
    # What the run uses are the averages.
    for one, other in zip(mdnn.load(trained).weights, mdnn.load(back).weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert (read_origin(back)["step"], read_origin(back)["optimizer"]) == (6, True)
    config = mdnn.load_config(back / "config.toml", ["train.steps=8"])
    assert mdnn.train(config, back, resume=True, show=False)["steps"] == 8
    new = mdnn.load_config(back / "config.toml", ["train.steps=2"])
    mdnn.train(new, tmp_path / "new", init_from=back, init_optimizer=True, show=False)
    assert int(state_of(open_run(tmp_path / "new")).optimizer.iterations) == 10


def test_moments_of_what_stays(trained, tmp_path, capsys):
    small = tmp_path / "small"
    words = ["--set", "context.grid=[4]", "--set", "backbone.layer.1.width=16"]
    assert main(["shrink", str(trained), "--out", str(small), *words]) == 0
    assert "--init-optimizer" in capsys.readouterr().out
    old, new = state_of(open_run(trained)), state_of(open_run(small))
    slices = weight_slices(new.model, old.model, exact=False)
    numbers = {w.path: k for k, w in enumerate(old.model.trainable_variables)}
    for name in ("_momentums", "_velocities", "_model_variables_moving_average"):
        pairs = zip(new.model.trainable_variables, getattr(new.optimizer, name), strict=True)
        for weight, variable in pairs:
            one = slices[weight.path]
            source = getattr(old.optimizer, name)[numbers[one.source.path]]
            source, found = (keras.ops.convert_to_numpy(v) for v in (source, variable))
            np.testing.assert_array_equal(found, source.reshape(-1)[one.index])
            assert found.any(), weight.path
    assert int(new.optimizer.iterations) == 6


def test_without_a_state(trained, tmp_path):
    """Another optimizer begins anew, and a network in memory has none."""
    changes = [*SMALLER[2:], "train.optimizer.name=lion"]
    assert mdnn.shrink(trained, tmp_path / "lion", overrides=changes)["step"] is None
    assert checkpoint.newest(tmp_path / "lion") is None
    facts = mdnn.shrink(mdnn.load(trained), tmp_path / "memory", overrides=["context.grid=[4]"])
    assert facts["step"] is None
