"""Reads the state of a training, which runs of larger and smaller networks go on with."""

import dataclasses
import shutil

from mdnn.config.growing import stage_configs
from mdnn.config.load import load_config
from mdnn.models.builder import build
from mdnn.runs.item_statistics import ITEMS
from mdnn.runs.run_files import CONFIG
from mdnn.training import checkpoint
from mdnn.training.metrics_log import METRICS, TIMES
from mdnn.training.mixed_precision import resolved
from mdnn.training.optimizers import make_optimizer

STATE = ("model", "optimizer", "seed")
"""Sections of a checkpoint that grow and shrink; a run with others (puzzles that carry states from
step to step) begins its next steps with a new optimizer."""


@dataclasses.dataclass(frozen=True)
class RunState:
    """The state of a training in a run folder.

    Attributes:
        config: `mdnn.Config` of the stage that the training has reached.
        model: network, its weights without averages.
        optimizer: Keras optimizer.
        progress: `mdnn.training.checkpoint.Progress`.
    """

    config: object
    model: object
    optimizer: object
    progress: object


def state_of(run):
    """Returns the `RunState` of a run; `None` if it has none that could grow.

    Args:
        run: `mdnn.runs.run_folder.Run`.
    """
    if run.path is None or checkpoint.newest(run.path) is None:
        return None
    arrays, progress = checkpoint.read_newest(run.path)
    if any(not name.startswith(tuple(f"{part}/" for part in STATE)) for name in arrays):
        return None
    config = stage_configs(load_config(run.path / CONFIG))[progress.stage]
    if config.train.partial.select != "all":
        # The optimizer holds the state of some blocks alone.
        return None
    model = build(config, run.words)
    optimizer = optimizer_for(config, model)
    checkpoint.assign_sections(checkpoint.sections_of(model, optimizer), arrays, run.path)
    return RunState(config, model, optimizer, progress)


def optimizer_for(config, model):
    """Returns a new optimizer of a config, built on a network's trainable variables."""
    train = config.train
    precision = resolved(train.precision)
    return make_optimizer(train.optimizer, model.trainable_variables, train.ema_decay, precision)


def copy_about(run, folder, config):
    """Copies what a run folder says of its data and of its training so far.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        folder: path of the new run folder.
        config: `mdnn.Config` of the new run.
    """
    if run.path is None:
        return
    names = [ITEMS, "source.json"]
    # A run of stages has a further column.
    if not load_config(run.path / CONFIG).train.stage:
        names += [METRICS, TIMES]
    for name in names:
        if (run.path / name).is_file():
            shutil.copyfile(run.path / name, folder / name)
