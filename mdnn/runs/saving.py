"""Saves networks as run folders."""

from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making
from mdnn.runs.item_statistics import ITEMS, write_item_statistics
from mdnn.runs.run_files import CONFIG, FILES, WEIGHTS, write_run
from mdnn.runs.run_folder import open_run


def save(network, path, overwrite=False):
    """Writes a network as a run folder.

    Args:
        network: `Network`, or a `Run`.
        path: the folder to make.
        overwrite: bool, whether a run folder is replaced. One with other files than this function
            writes, such as those of a training or of yours, never is.

    Returns:
        `Path` of the run folder.

    Raises:
        MdnnError: the folder is not empty, or the model has no config.

    Example:

    >>> model = mdnn.build(mdnn.load_config("configs/text.toml"))
    >>> mdnn.save(model, "runs/mine")
    """
    run, path = open_run(network), as_path(path, "path")
    if overwrite and _is_saved(path):
        with making(path, old=path) as part:
            _write(run, part)
        return path
    check_new_folder(path)
    path.mkdir(parents=True, exist_ok=True)
    _write(run, path)
    return path


def _write(run, folder):
    if run.path is None or (run.path / ITEMS).is_file():
        write_item_statistics(folder, run.item_statistics)
    write_run(folder, run.config, run.words, run.model)


def _is_saved(path):
    """Returns whether a folder holds a run, and nothing but what `save` writes."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    return {CONFIG, WEIGHTS} <= names <= {*FILES, ITEMS}
