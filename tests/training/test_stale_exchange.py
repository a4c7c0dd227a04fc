"""Members in tandem that learn from each other's predictions of some steps ago."""

import keras
import numpy as np
import pytest
import tiny
from safetensors.numpy import load_file
from test_growing import same_runs
from test_trainer import stop

import mdnn
from mdnn.training import checkpoint

if keras.backend.backend() not in ("tensorflow", "jax"):
    pytest.skip("no training loop", allow_module_level=True)

SETTINGS = (
    *tiny.QUICK[:2],
    "train.steps=6",
    "train.final_evaluation=200",
    "train.deterministic=true",
    "tandem.members=2",
    "tandem.exchange=3",
    "tandem.exchange_from=0",
    "tandem.exchange_full=0",
)


def trained(folder, name, *settings):
    mdnn.train(tiny.load_config(folder, *SETTINGS, *settings), folder / name, show=False)
    return load_file(folder / name / "model.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stale")


@pytest.fixture(scope="module")
def stale(folder):
    """The weights after training with copies of every third step."""
    return trained(folder, "stale", "tandem.stale=3")


def difference(one, other):
    assert one.keys() == other.keys()
    return max(float(np.abs(values - other[name]).max()) for name, values in one.items())


def test_copies_of_every_step_are_the_exact_exchange(folder, stale):
    """The tiny network has no dropout, which predictions for others are made without."""
    exact = trained(folder, "exact")
    assert difference(exact, trained(folder, "each step", "tandem.stale=1")) < 1e-5
    assert difference(exact, stale) > 1e-4


def test_going_on_with_stale_copies(folder, stale, monkeypatch):
    """Stopped between two copies, a training goes on to the same bits."""
    config = tiny.load_config(folder, *SETTINGS, "tandem.stale=3")
    found = []
    for resume in (False, True):
        with monkeypatch.context() as patch:
            stop(patch, at=3 - resume)
            result = mdnn.train(config, folder / "parts", resume=resume, show=False)
        arrays, progress = checkpoint.read_newest(folder / "parts")
        assert result["steps"] == progress.step == (5 if resume else 3)
        for section in ("model/", "stale/"):
            own = {name: a for name, a in arrays.items() if name.startswith(section)}
            found.append({name.rpartition("/")[2]: a for name, a in own.items()})
    # The copies of step 3 are in the checkpoint of step 5.
    assert difference(found[0], found[3]) == 0
    assert difference(found[2], found[3]) > 0
    mdnn.train(config, folder / "parts", resume=True, show=False)
    same_runs(folder / "stale", folder / "parts")
