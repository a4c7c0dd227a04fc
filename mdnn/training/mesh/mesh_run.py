"""Trains a run on several devices, in one process or in many."""

import dataclasses
import tomllib

import jax

from mdnn.config.mesh_table import BATCH, MEMBERS, Mesh, check_mesh
from mdnn.errors import MdnnError
from mdnn.training.mesh.addresses import LostProcessError
from mdnn.training.mesh.device_mesh import DeviceMesh
from mdnn.training.mesh.process_group import join_processes
from mdnn.training.preparation import PreparedRun, anchored, prepare_run


def train_on_mesh(config, path, options, show, numbers, run_training):
    """Joins the other processes, if there are any, and trains with them.

    Args:
        config: `mdnn.Config`.
        path: `pathlib.Path` of the run folder, which only the first process reads and writes.
        options: tuple `(resume, source, init_from, init_optimizer)` of `mdnn.train`.
        show: bool, whether the first process shows progress.
        numbers: number of processes, number of this process and address of the first one; three
            times `None`: as the environment says.
        run_training: function `(prepared, path, show, devices, group)`.

    Returns:
        dict, see `mdnn.train`.

    Raises:
        MdnnError: see `mdnn.train`; a process of this training that is gone.
    """
    group = join_processes(*numbers)
    try:
        prepared = _prepare(config, path, options, group)
        devices = DeviceMesh(prepared.config.mesh)
        result = run_training(prepared, path, show and group.leads, devices, group)
    except (ValueError, RuntimeError) as error:
        if isinstance(error, MdnnError) or group.count == 1 or not _is_of_others(error):
            raise
        raise LostProcessError(
            f"process {group.number} of {group.count} has lost contact with another one: "
            "resume continues from the last checkpoint"
        ) from error
    group.leave()
    return result


def _prepare(config, path, options, group):
    """Returns the `PreparedRun`: of the first process, with the source of this one."""
    config = _with_mesh(config, len(jax.devices()))
    resume, source, *_ = options
    made = []

    def prepare():
        made.append(prepare_run(config, path, *options))
        run = made[0]
        return {
            "config": run.config.to_toml(),
            "begun": run.begun,
            "stage": run.stage,
            "words": run.words,
        }

    said = group.from_first(prepare)
    if made:
        return made[0]
    words = said["words"] if said["words"] is None else tuple(said["words"])
    if resume:
        config = _resumed(config, said["config"], source)
    return PreparedRun(config, resume, said["begun"], said["stage"], words)


def _resumed(config, toml, source):
    """Returns the config of the run that the first process resumes.

    Args:
        config: `mdnn.Config` of this process, which has the mesh and the budget.
        toml: str, the first process's config.
        source: str, the source that was passed to this process; `None` for the run's.
    """
    first = config.from_dict(tomllib.loads(toml))
    if source is None:
        return first
    return anchored(dataclasses.replace(first, data=dataclasses.replace(first.data, source=source)))


def _with_mesh(config, devices):
    """Returns a config whose mesh has a share for each device, if it has none.

    The shares are those of members in tandem where there are as many, otherwise of the batch.
    """
    if config.mesh.shares:
        return config
    members = config.tandem.members
    key = MEMBERS if members and members % devices == 0 else BATCH
    config = dataclasses.replace(config, mesh=Mesh(((key, devices),)))
    check_mesh(config)
    return config


def _is_of_others(error):
    """Returns whether an exception of JAX says that another process is gone."""
    words = str(error)
    return any(word in words for word in ("Gloo", "gloo", "UNAVAILABLE", "coordination", "NCCL"))
