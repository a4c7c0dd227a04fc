"""Defines `mdnn.distill`: trains one small network that learns from a trained one."""

import dataclasses
import tomllib

from mdnn.config.overrides import set_key
from mdnn.config.tandem_tables import Distill, Tandem
from mdnn.errors import MdnnError
from mdnn.models.builder import build
from mdnn.models.tandem.distillation import check_teacher
from mdnn.runs.run_folder import open_run
from mdnn.training.run_training import train


def distill(run, out, members=0, weight=0.7, overrides=(), show=True):
    """Trains a student on a run's data, with the run's probabilities as its targets.

    The student has the config of one member of the run (or of the run itself), with changed keys.
    It is an ordinary run; its config names the teacher, so that `--resume` goes on.

    Args:
        run: run folder of the teacher; most useful are networks in tandem.
        out: the run folder to make.
        members: int, number of members that teach, the first ones; 0 for all.
        weight: float, share of the teacher in the loss.
        overrides: strings `KEY=VALUE`, changes of the student's config: `train.minutes=10`.
        show: bool, whether to show progress.

    Returns:
        dict, see `mdnn.train`.

    Raises:
        MdnnError: no run folder, fewer members than asked for, or a student that is larger than its
            teachers or has another context.
    """
    config = student_config(run, members, weight, overrides)
    return train(config, out, show=show)


def student_config(run, members=0, weight=0.7, overrides=()):
    """Returns the checked config of a student; see `distill`."""
    run = open_run(run)
    if run.path is None:
        raise MdnnError("distill: expected a run folder, whose path the student's config names")
    if members and not run.config.tandem.members:
        raise MdnnError("members: this run holds one network, expected a run with tandem.members")
    teacher = run.first_members(members).model
    distilled = Distill(str(run.path.resolve()), weight, members)
    train_table = dataclasses.replace(run.config.train, stage=())
    config = dataclasses.replace(run.config, tandem=Tandem(), distill=distilled, train=train_table)
    table = tomllib.loads(config.to_toml())
    for change in overrides:
        set_key(type(config), table, change)
    config = config.remade(table)
    check_teacher(build(config, run.words), teacher)
    return config
