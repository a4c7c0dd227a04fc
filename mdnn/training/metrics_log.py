"""Writes and reads metrics.csv (losses by step) and times.csv (seconds by step).

metrics.csv contains no wall-clock times, so two runs of one config with a budget in steps produce
the same file. times.csv contains the seconds of the same rows.
"""

import csv

from mdnn.errors import MdnnError
from mdnn.file_systems import append_text, sync_file
from mdnn.files import naming, write_text

METRICS, TIMES = "metrics.csv", "times.csv"


class Metrics:
    """Appends rows to the two metrics files of a run.

    Args:
        path: `pathlib.Path` of the run folder.
        columns: names of the columns of metrics.csv, `"step"` first.
        step: int, the run's current step. Rows of later steps, left by a process that was killed
            after its last checkpoint, and an incomplete last row are dropped.

    Raises:
        MdnnError: existing files with other columns or contents.
        OSError: full disk or unwritable folder.
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
        """Appends a row to both files.

        Args:
            row: dict from columns to strings; missing columns stay empty.
        """
        for name, columns in self.columns.items():
            line = ",".join(row.get(column, "") for column in columns)
            with naming(self.files[name]):
                append_text(self.files[name], f"{line}\n")


def sync(path):
    """Flushes both files of a run folder to disk.

    Call it before writing a checkpoint, which must not refer to rows that may be lost.
    """
    for name in (METRICS, TIMES):
        if (path / name).is_file():
            with naming(path / name):
                sync_file(path / name)


def read_metrics(path):
    """Reads both files of a run folder.

    Returns:
        dict from columns to lists of floats (None for empty cells); empty without files or rows.
    """
    seconds = {row[0]: row[1] for row in _rows(path / TIMES)}
    # A killed process may have written a row to only one of the files.
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
    """Returns the complete rows of a file as lists of strings.

    Raises:
        MdnnError: a header other than `columns` (if given), or a row with invalid numbers.
    """
    if not path.is_file():
        return []
    header = _header(path)
    if columns is not None and header and header != columns:
        raise MdnnError(f"{path}: expected the columns {','.join(columns)}, found others")
    with open(path, encoding="utf-8", newline="", errors="replace") as file:
        lines = file.readlines()[1:]
    # A last line without a line end was cut off by a killed process or a full disk.
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
