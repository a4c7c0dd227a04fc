"""Writes losses by position into a picture or a table."""

import matplotlib.figure

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import replacing, write_text

COLUMNS = ("first", "last", "loss", "characters")


def check_curve_file(path):
    """Returns the path of a file for `write_curve`.

    Raises:
        MdnnError: another suffix, or there is no such folder.
    """
    path = as_path(path, "--plot")
    if path.suffix.lower() not in (".png", ".csv"):
        raise MdnnError(f"--plot: expected a file .png or .csv, received {str(path)!r}")
    if not path.parent.is_dir():
        raise MdnnError(f"--plot: there is no folder {path.parent}")
    return path


def write_curve(path, tables):
    """Writes losses by position.

    Args:
        path: a .png, a picture of nats per character against the position on a logarithmic scale,
            or a .csv with a line for each range of positions.
        tables: dict from the names of networks to what `mdnn.evaluate(..., by_position=True)`
            returns as `by_position`.

    Raises:
        MdnnError: see `check_curve_file`.

    Example:

    >>> result = mdnn.evaluate("runs/long", by_position=True)
    >>> write_curve("curve.png", {"a context of 32,768": result["by_position"]})
    """
    path = check_curve_file(path)
    if path.suffix.lower() == ".csv":
        lines = [",".join(("network", *COLUMNS))]
        for name, table in tables.items():
            quoted = '"' + name.replace('"', '""') + '"'
            lines += [",".join([quoted, *(str(row[c]) for c in COLUMNS)]) for row in table]
        write_text(path, "\n".join(lines) + "\n")
        return
    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, table in tables.items():
        # Positions count from 1 here: a logarithm has no 0.
        edges = [row["first"] + 1 for row in table] + [row["last"] + 2 for row in table[-1:]]
        axes.stairs([row["loss"] for row in table], edges, baseline=None, linewidth=2, label=name)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="position in the context", ylabel="nats per character")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with replacing(path) as file:
        figure.savefig(file, format="png")
