"""A task of a third party, in this one file: it trains, evaluates, generates and exports."""

import functools

import keras
import numpy as np
import pytest

import mdnn
from mdnn.config.task_rules import TaskRules
from mdnn.datasets.batches.text_batches import StepBatches
from mdnn.datasets.random_bits import BATCH, raw_bits
from mdnn.tasks import register_task
from mdnn.tasks.base import Task
from mdnn.tokens.symbols import to_tokens, to_units

CONFIG = """
tokens.modalities = ["symbol"]
context = { layout = "mirror", grid = [8] }
backbone = { width = 16, depth = 1, layer = [{ mixer = [{ wiring = "full" }] }] }
[train]
steps = 150
batch_size = 16
sample = 0
objectives = { autoregressive = 0.0, parallel = 1.0 }
optimizer = { learning_rate = 0.02, warmup_steps = 1 }
"""


class MirrorBatches(StepBatches):
    """Eight random symbols; each position answers the one that mirrors it."""

    def __init__(self, seed, steps, batch_size=16):
        super().__init__(steps)
        self.seed, self.batch_size = seed, batch_size

    def objective(self, step):
        return "parallel"

    def at(self, step):
        units = (raw_bits(self.seed, step, (self.batch_size, 8), BATCH) % 4).astype("uint8")
        return {"tokens": to_tokens(units, (8,)), "targets": to_tokens(units[:, ::-1], (8,))}


class MirrorTask(Task):
    """Reads eight symbols backwards."""

    rules = TaskRules(modalities=("symbol",), modes=("parallel",), has_mask=False)
    unit = "symbol"

    @functools.cached_property
    def batches(self):
        train = self.config.train
        return MirrorBatches(self.config.seed, train.steps, train.batch_size)

    @functools.cached_property
    def validation(self):
        return MirrorBatches(self.config.seed + 1, steps=4)

    def open_source(self, source):
        return MirrorBatches(int(source), steps=4)

    def generate(self, run, prompt, options, stream=None):
        tokens = to_tokens(np.array([list(map(int, prompt))], "uint8"), (8,))
        scores = keras.ops.convert_to_numpy(run.model.scores(tokens))
        return "".join(map(str, scores[0].argmax(axis=-1)))


register_task("mirror", MirrorTask)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "mirror.toml").write_text(CONFIG, encoding="utf-8")
    result = mdnn.train(folder / "mirror.toml", folder / "run", show=False)
    assert result["loss"] < 0.3
    assert result["symbols_per_second"] > 0
    return folder / "run"


def test_it_trains_evaluates_and_generates(run):
    assert mdnn.evaluate(run)["loss"] < 0.3
    assert mdnn.evaluate(run, MirrorBatches(7, steps=2))["tokens"] == 2 * 16 * 8
    assert mdnn.generate(run, "01230012") == "21003210"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exported by TensorFlow alone")
def test_it_is_exported(run, tmp_path):
    import tensorflow as tf

    served = tf.saved_model.load(str(mdnn.export(run, tmp_path / "served")))
    tokens = to_tokens(np.array([[0, 1, 2, 3, 0, 0, 1, 2]], "uint8"), (8,))
    unit = served.signatures["serving_default"](tokens=tf.constant(tokens))["unit"].numpy()
    assert to_units(unit).tolist() == [[2, 1, 0, 0, 3, 2, 1, 0]]
