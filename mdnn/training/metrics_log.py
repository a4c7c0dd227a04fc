"""metrics.csv and times.csv: what a run learnt by which step, and when.

metrics.csv holds nothing of the clock, so that of a budget in steps two runs of one config have
the same; times.csv has the seconds of the same rows.
"""

import csv

from mdnn.errors import MdnnError
from mdnn.file_systems import append_text, sync_file
from mdnn.files import naming, write_text

METRICS, TIMES = "metrics.csv", "times.csv"


class Metrics:
    """The two files of a run that is being trained, open for more rows.

    Args:
        path: `pathlib.Path` of the run folder.
        columns: names of the columns of metrics.csv, `"step"` first.
        step: int, how far the run is: rows of later steps, of a run that was killed after its
            last checkpoint, are dropped, and so is one that was half written.

    Raises:
        MdnnError: files that hold something else.
        OSError: a full disk, a folder that cannot be written to.
    """

    def __init__(self, path, columns, step):
        self.columns = {METRICS: columns, TIMES: ["step", "seconds"]}
        self.files = {}
        for name, own in self.columns.items():
            kept = [row for row in _rows(path / name, own) if int(row[0]) <= step]
            lines = [",".join(row) for row in ([own] if not kept else [own, *kept])]
            write_text(path / name, "\n".join([*lines, ""]))
            self.files[name] = path / name

    def write(self, row):
        """Adds a row, a dict from columns to texts, to the files that have those columns."""
        for name, columns in self.columns.items():
            line = ",".join(row.get(column, "") for column in columns)
            with naming(self.files[name]):
                append_text(self.files[name], f"{line}\n")


def sync(path):
    """Puts the rows of a run folder on the disk, before a checkpoint says that there are such."""
    for name in (METRICS, TIMES):
        if (path / name).is_file():
            with naming(path / name):
                sync_file(path / name)


def read_metrics(path):
    """What both files of a run folder hold as a dict of lists of floats (None where empty).

    Without files or rows the dict is empty.
    """
    seconds = {row[0]: row[1] for row in _rows(path / TIMES)}
    # A killed process may have written a row of one of them alone.
    rows = [row for row in _rows(path / METRICS) if row[0] in seconds]
    if not rows:
        return {}
    columns = {"seconds": [float(seconds[row[0]]) for row in rows]}
    for number, name in enumerate(_header(path / METRICS)):
        columns[name] = [float(row[number]) if row[number] else None for row in rows]
    return columns


def _header(path):
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="", errors="replace") as file:
        return next(csv.reader(file), [])


def _rows(path, columns=None):
    """The whole rows of a file, lists of texts; the header must be `columns`, if given."""
    if not path.is_file():
        return []
    header = _header(path)
    if columns is not None and header and header != columns:
        raise MdnnError(f"{path}: expected the columns {','.join(columns)}, found other ones")
    with open(path, encoding="utf-8", newline="", errors="replace") as file:
        lines = file.readlines()[1:]
    # What a killed process, or a full disk, cut off has no line end.
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    rows = [line.rstrip("\n").split(",") for line in lines]
    for number, row in enumerate(rows, 2):
        try:
            if len(row) != len(header):
                raise ValueError
            int(row[0])
            list(map(float, filter(None, row)))
        except ValueError:
            raise MdnnError(f"{path}:{number}: expected {len(header)} numbers") from None
    return rows
