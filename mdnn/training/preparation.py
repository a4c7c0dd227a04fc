"""Prepares the config and the folders of a new or resumed run."""

import contextlib
import dataclasses

from mdnn.config.load import load_config
from mdnn.errors import MdnnError
from mdnn.runs.run_files import CONFIG, WEIGHTS, check_format, weights_dtype
from mdnn.tasks.registry import task_class
from mdnn.training import checkpoint


def anchored(config):
    """Returns the config with absolute paths of sources, as stored in a run folder."""
    absolute = task_class(config).absolute_source
    data = dataclasses.replace(
        config.data,
        source=absolute(config.data.source),
        mix=tuple(dataclasses.replace(m, source=absolute(m.source)) for m in config.data.mix),
    )
    return dataclasses.replace(config, data=data)


def resumed_config(config, path, source=None):
    """Returns the stored config of a run with `train.minutes` and `train.steps` of `config`.

    Args:
        config: `mdnn.Config` with the new training budget.
        path: `pathlib.Path` of the run folder.
        source: string, the data source to go on with; `None` for the stored one.

    Raises:
        MdnnError: not a run folder, a run folder of a newer version, or one with weights but no
            checkpoint (such as a quantized run).
    """
    if not (path / CONFIG).is_file():
        raise MdnnError(f"{path} is no run folder to go on with: it has no {CONFIG}")
    check_format(path)
    # A run that was killed before its first checkpoint starts over.
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
    own = dataclasses.replace(own, train=dataclasses.replace(own.train, **length))
    if source is None:
        return own
    return anchored(dataclasses.replace(own, data=dataclasses.replace(own.data, source=source)))


def own_folders(path):
    """Returns a run folder and its subfolders.

    Raises:
        MdnnError: a subfolder is a symbolic link, whose target may not belong to the run.
    """
    inner = [folder for folder in path.iterdir() if folder.is_dir()]
    for folder in inner:
        if folder.is_symlink():
            raise MdnnError(f"{folder} is a link: a run folder is written to, expected its own")
    return [path, *inner]
