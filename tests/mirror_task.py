"""A task of a third party, in this one file: it trains, evaluates, generates and is exported."""

import dataclasses
import functools

import keras
import numpy as np

from mdnn.config.data_tables import Data
from mdnn.config.schema import option
from mdnn.config.task_rules import TaskRules
from mdnn.datasets.batches.step_batches import StepBatches
from mdnn.datasets.random_bits import BATCH, raw_bits
from mdnn.tasks import register_task
from mdnn.tasks.base import Task
from mdnn.tokens.symbols import to_tokens

CONFIG = """
tokens.modalities = ["symbol"]
context = { layout = "mirror", grid = [8] }
mirror.symbols = 4
backbone = { width = 16, depth = 1, layer = [{ mixer = [{ wiring = "full" }] }] }
[train]
steps = 150
batch_size = 16
sample = 0
objectives = { autoregressive = 0.0, parallel = 1.0 }
optimizer = { learning_rate = 0.02, warmup_steps = 1 }
"""


@dataclasses.dataclass(frozen=True)
class Mirror:
    """The config table `[mirror]` of this task."""

    symbols: int = option(2, least=2, most=32)
    look: str = option("plain", choices=("plain", "fancy"))


@dataclasses.dataclass(frozen=True)
class MirrorData(Data):
    """The table `[data]`, with a further key."""

    validation_steps: int = option(4, least=1)


class MirrorBatches(StepBatches):
    """Eight random symbols; each position answers the one that mirrors it."""

    def __init__(self, seed, steps, batch_size=16, symbols=4):
        super().__init__(steps)
        self.seed, self.batch_size, self.symbols = seed, batch_size, symbols

    def objective(self, step):
        return "parallel"

    def at(self, step):
        bits = raw_bits(self.seed, step, (self.batch_size, 8), BATCH)
        symbols = (bits % self.symbols).astype("uint8")
        return {"tokens": to_tokens(symbols, (8,)), "targets": to_tokens(symbols[:, ::-1], (8,))}


class MirrorTask(Task):
    """Reads eight symbols backwards."""

    rules = TaskRules(
        modalities=("symbol",),
        modes=("parallel",),
        has_mask=False,
        tables={"mirror": Mirror, "data": MirrorData},
    )
    unit = "symbol"

    @functools.cached_property
    def batches(self):
        train, symbols = self.config.train, self.config.mirror.symbols
        return MirrorBatches(self.config.seed, train.steps, train.batch_size, symbols)

    @functools.cached_property
    def validation(self):
        return MirrorBatches(self.config.seed + 1, self.config.data.validation_steps)

    def open_source(self, source):
        return MirrorBatches(int(source), steps=4)

    def generate(self, run, prompt, options, stream=None):
        tokens = to_tokens(np.array([list(map(int, prompt))], "uint8"), (8,))
        scores = keras.ops.convert_to_numpy(run.model.scores(tokens))
        return "".join(map(str, scores[0].argmax(axis=-1)))


register_task("mirror", MirrorTask)
