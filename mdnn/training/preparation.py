"""What training begins with: the config of a run, new or continued, and its folders."""

import contextlib
import dataclasses

from mdnn.config.load import load_config
from mdnn.errors import MdnnError
from mdnn.runs.run_folder import CONFIG, WEIGHTS, check_format, weights_dtype
from mdnn.tasks.registry import task_class
from mdnn.training import checkpoint


def anchored(config):
    """Returns the config with the path of its source made absolute, for a run folder to keep."""
    source = task_class(config).absolute_source(config.data.source)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))


def resumed_config(config, path):
    """The config with which a run goes on: its own, and of `config` how long it trains.

    Raises:
        MdnnError: no run folder, one of a newer version, one without a checkpoint or with small
            weights.
    """
    if not (path / CONFIG).is_file():
        raise MdnnError(f"{path} is no run folder to go on with: it has no {CONFIG}")
    check_format(path)
    # A run that was killed before its first checkpoint begins again.
    if checkpoint.newest(path) is None and (path / WEIGHTS).exists():
        dtype = "float32"
        with contextlib.suppress(MdnnError):
            dtype = weights_dtype(path)
        if dtype != "float32":
            raise MdnnError(
                f"{path} has {dtype} weights, which training does not go on with: expected the "
                "run that it was made from"
            )
        raise MdnnError(
            f"{path} has no checkpoint to go on from: there is none in {checkpoint.FOLDER}"
        )
    own = load_config(path / CONFIG)
    length = {"minutes": config.train.minutes, "steps": config.train.steps}
    return dataclasses.replace(own, train=dataclasses.replace(own.train, **length))


def own_folders(path):
    """The folders that a run is written to: a run folder and those in it.

    Raises:
        MdnnError: one of them is a link, to what may be somebody's.
    """
    inner = [folder for folder in path.iterdir() if folder.is_dir()]
    for folder in inner:
        if folder.is_symlink():
            raise MdnnError(f"{folder} is a link: a run folder is written to, expected its own")
    return [path, *inner]
