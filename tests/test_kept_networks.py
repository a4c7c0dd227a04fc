"""What is made around a network that is kept open leaves nothing in its layers."""

import keras
import pytest
import tiny
from networks import count_nodes

import mdnn
from mdnn.runs.run_folder import run_of
from mdnn.tasks.registry import task_for


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    settings = ("train.objectives.parallel=1", "backbone.slab=4")
    return mdnn.build(tiny.load_config(tmp_path_factory.mktemp("kept"), *settings))


def export(network):
    from mdnn.serving.export.saved_model import exported_by_task

    exported_by_task(run_of(network))


def evaluator(network):
    task = task_for(network.config)
    task.evaluator(task.networks(network, steps=1))


@pytest.mark.parametrize("make", [export, evaluator])
def test_nodes(kept, make):
    if make is export and keras.backend.backend() != "tensorflow":
        pytest.skip("SavedModels are TensorFlow's")
    make(kept)
    before = count_nodes(kept)
    assert before > 10
    make(kept)
    assert count_nodes(kept) == before
