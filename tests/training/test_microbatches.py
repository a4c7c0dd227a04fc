"""A batch in parts: the step of the whole batch, and how many parts there are."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.models.loss import loss_for
from mdnn.tasks import task_for
from mdnn.training import microbatches as cores
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step import make_step
from mdnn.training.trainer import Training

SGD = tuple(
    f"train.optimizer.{word}"
    for word in ('name="sgd"', "beta_1=0", "weight_decay=0", "clip_norm=0")
)
CONFIGS = {
    # Runs of random length: the parts have different numbers of targets.
    "padded": (tiny.load_config, 'context.padding="random"'),
    "two ways": (tiny.load_config, "train.objectives.masked_diffusion=1"),
    "words": (tiny.load_config, *tiny.WORDS),
    "full table": (tiny.load_config, 'tokens.table="full"', "tokens.coordinates=false"),
    "bits": (tiny.load_config, 'tokens.table="bits"', "backbone.width=64"),
    "items": (tiny.load_items,),
    "counted items": (tiny.load_items, "loss.modality.audio=0.25", "loss.prompt=0.5"),
}

LONG = ("items", "counted items", "bits", "words")

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="JAX shares cores by itself"
)


def _learnt(config, data, start, parts):
    """The losses of a few steps, and the weights after them."""
    model = mdnn.build(config, data.words)
    model.set_weights(start)
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    step = make_step(
        task_for(config).networks(model), loss_for(config), optimizer, microbatches=parts
    )
    losses = []
    for number in range(3):
        way = data.batches.objective(number)
        losses.append(float(step(data.batches.at(number), 0.5, way)))
    step.sync()
    return losses, model.get_weights()


@needs_tensorflow
@pytest.mark.parametrize(
    "what", [pytest.param(w, marks=pytest.mark.long) if w in LONG else w for w in CONFIGS]
)
def test_parts_learn_what_the_whole_batch_learns(what, tmp_path):
    load, *settings = CONFIGS[what]
    config = load(tmp_path, *SGD, *settings)
    data = task_for(config)
    start = mdnn.build(config, data.words).get_weights()
    losses, weights = _learnt(config, data, start, 1)
    found, learnt = _learnt(config, data, start, 4)
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    for a, b in zip(learnt, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(start, weights, strict=True)) > 1e-2


@needs_tensorflow
def test_a_part_without_a_target_counts_nothing(tmp_path):
    config = tiny.load_config(tmp_path, *SGD)
    model, data = mdnn.build(config), task_for(config)
    batch = data.batches.at(0)
    batch["targets"][4:] = 0
    found = []
    for parts in (1, 2):
        optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
        step = make_step(model, loss_for(config), optimizer, microbatches=parts)
        found.append(float(step(batch, 0.0)))
        assert int(step.fault[0]) == -1
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@needs_tensorflow
def test_puzzles_stay_whole(tmp_path, monkeypatch):
    import puzzle_networks

    monkeypatch.setattr("mdnn.training.trainer.num_microbatches", lambda batch: 2)
    config = puzzle_networks.load_sudoku(tmp_path)
    data = task_for(config)
    from mdnn.runs.run_folder import Run
    from mdnn.training.progress import Display

    run = Run(tmp_path / "run", config, ()).holding(mdnn.build(config))
    training = Training(run, data, Display(False))
    assert np.isfinite(float(training.step(training.feed.batch(0), 1e-3, "parallel")))


@pytest.mark.parametrize(
    ("batch", "number", "threads", "expected"),
    [
        (8, 2, 1, 2),
        (9, 2, 1, 1),
        (12, 8, 1, 6),
        (1, 8, 1, 1),
        (12, 8, 4, 2),
        (8, 2, 0, 1),
        (64, 64, 1, 4),
        (24, 24, 4, 6),
    ],
)
def test_how_many_parts(batch, number, threads, expected, monkeypatch):
    if keras.backend.backend() != "tensorflow":
        assert cores.num_microbatches(batch) == 1
        return
    import tensorflow as tf

    monkeypatch.setattr(cores, "cores", lambda: number)
    get = "get_intra_op_parallelism_threads"
    monkeypatch.setattr(tf.config.threading, get, lambda: threads)
    assert cores.num_microbatches(batch) == expected


SCRIPT = """
import os
import sys
import mdnn
from mdnn.training import microbatches as cores
cores.cores = lambda: int(os.environ.get("CORES", 6))
batch, begun = int(sys.argv[1]), sys.argv[2] == "begun"
import tensorflow as tf
if begun:
    tf.constant(0)
shared = mdnn.configure_threads(batch or None)
tf.constant(0)
threading = tf.config.threading
many = cores.num_microbatches(batch or cores.cores())
print(shared, threading.get_intra_op_parallelism_threads(), many)
"""


@needs_tensorflow
@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("0", "first"), {}, "True 1 6"),
        pytest.param(("4", "first"), {}, "True 1 4", marks=pytest.mark.long),
        (("3", "first"), {}, "True 2 3"),
        pytest.param(("1", "first"), {}, "True 6 1", marks=pytest.mark.long),
        (("24", "first"), {"CORES": "24"}, "True 4 6"),
        (("4", "begun"), {}, "False 0 1"),
        (("4", "first"), {"TF_NUM_INTRAOP_THREADS": "2"}, "False 0 1"),
    ],
)
def test_cores_are_shared_before_anything_is_computed(words, environment, said):
    # The tests' own processes have such a word of their own.
    others = {name: v for name, v in os.environ.items() if name != "TF_NUM_INTRAOP_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        env=others | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == said.split()
