"""Provides `merge`, which makes a run of a network and an identity."""

from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making
from mdnn.identity.adapted_network import with_identity
from mdnn.runs.item_statistics import ITEMS, write_item_statistics
from mdnn.runs.origin import write_origin
from mdnn.runs.run_files import write_run
from mdnn.runs.run_folder import open_run


def merge(run, identity, out):
    """Makes an ordinary run of a network and an identity.

    Args:
        run: the argument of `mdnn.runs.run_folder.open_run`.
        identity: a file that `adapt` made.
        out: path of the run folder to make.

    Returns:
        `pathlib.Path` of the run folder. Its blocks have biases if the identity has offsets.

    Raises:
        MdnnError: no run, an identity of another network, or `out` is not empty.
    """
    path = as_path(out, "out")
    check_new_folder(path)
    run = open_run(run)
    merged = with_identity(run, identity)
    name = "a network in memory" if run.path is None else run.path.resolve()
    with making(path) as part:
        if run.path is None or (run.path / ITEMS).is_file():
            write_item_statistics(part, run.item_statistics)
        write_origin(part, "merged", name, changes=[f"identity={identity}"])
        write_run(part, merged.config, run.words, merged.model)
    return path
