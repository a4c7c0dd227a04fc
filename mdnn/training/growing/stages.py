"""Stages of a training: each one trains a larger network than the one before."""

import copy
import dataclasses

from mdnn.models.builder import build
from mdnn.runs.run_folder import Run
from mdnn.tasks.registry import task_for
from mdnn.training.growing.training_state import grow_state


def stage_is_due(training, spent):
    """Returns whether the next stage begins at a spent fraction of the budget.

    Args:
        training: `mdnn.training.trainer.Training`.
        spent: float, 0 to 1.
    """
    number = training.progress.stage
    return number + 1 < len(training.stages) and spent >= training.config.train.stage[number].at


def enter_stage(training):
    """Grows the network and the whole state of its training, and saves both.

    All new objects are made first: an error leaves the earlier stage unchanged.

    Args:
        training: `mdnn.training.trainer.Training`, which goes on with the grown network.
    """
    training._settle()
    training.step.sync()
    # A loss on longer contexts is another figure: the best one is sought again.
    stage = training.progress.stage + 1
    config, words = training.stages[stage], training.run.words
    grown = copy.copy(training)
    grown.progress = dataclasses.replace(training.progress, stage=stage, best=None)
    task = task_for(config, words or None).open()
    run = Run(training.run.path, config, words)
    grown._set_up(run.holding(build(config, words)), task)
    grow_state(training.model, grown.model, training.optimizer, grown.optimizer)
    grown.save()
    vars(training).update(vars(grown))
    say_stage(training)


def say_stage(training):
    """Shows the stage of a training with several."""
    stages, model = len(training.stages), training.model
    if stages == 1:
        return
    number, config = training.progress.stage + 1, training.run.config
    training.display.stage = f"stage {number} of {stages}  "
    grid = " x ".join(map(str, config.context.grid))
    training.display.say(
        f"stage {number} of {stages} at step {training.progress.step:,}: context {grid}, "
        f"depth {config.backbone.depth}, width {config.backbone.width}, "
        f"{model.count_params():,} parameters"
    )
