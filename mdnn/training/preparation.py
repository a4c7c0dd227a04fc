"""What training begins with: the data of a config, and the config of a run that goes on."""

import contextlib
import dataclasses

from mdnn.config.load import load_config
from mdnn.datasets.text.text_sources import DIGITS, PYTHON_DOCS
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.runs.run_folder import CONFIG, WEIGHTS, check_format, weights_dtype
from mdnn.tokens.symbols import puzzle_source
from mdnn.training import checkpoint


def open_training_data(config, words=None):
    """A config's data as the loop needs them: a `StreamData`, an `ItemData` or a `PuzzleData`.

    Args:
        config: `mdnn.Config`.
        words: the table of words; `None` to make it from the data, where the config has one.
    """
    # imported late: a text needs nothing of items, nor items of texts
    if config.context.layout == "items":
        from mdnn.training.item_training import ItemData

        return ItemData(config, words)
    if config.context.layout == "puzzle":
        from mdnn.training.puzzle_training import PuzzleData

        return PuzzleData(config)
    from mdnn.training.text_training import StreamData

    return StreamData(config, words)


def anchored(config):
    """The config with a source on disk named in full, so that the run knows it from anywhere."""
    source = config.data.source
    if config.context.layout == "puzzle":
        name, path = puzzle_source(source)
        if path is None or not as_path(path, "source").exists():
            return config
        path = str(as_path(path, "source").resolve())
        data = dataclasses.replace(config.data, source=path if name is None else f"{name}:{path}")
        return dataclasses.replace(config, data=data)
    if source in (PYTHON_DOCS, DIGITS) or not source.strip():
        return config
    path = as_path(source, "source")
    if not path.exists():
        return config
    data = dataclasses.replace(config.data, source=str(path.resolve()))
    return dataclasses.replace(config, data=data)


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
