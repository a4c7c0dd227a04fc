"""Files of puzzles: a puzzle and its solution in each row."""

from array import array

import numpy as np

from mdnn.datasets.puzzles.puzzle_tables import BLANKS, table_rows
from mdnn.datasets.puzzles.sudoku import BOXES
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.tokens.symbols import PuzzleName

CHECKED = 20_000
"""Puzzles of a file, from all over it, that are looked at for a second solution."""

# Rows that are looked at together.
TOGETHER = 8192


def read_puzzles(path, name, make, encoding="utf-8"):
    """Reads a file of puzzles, in memory of about twice the file's size.

    See `mdnn.datasets.puzzles.puzzle_tables.table_rows` for the forms that are read. A puzzle is
    its symbols row by row; a sudoku's blanks are one of `BLANKS`. Without a solution, or where it
    is empty, the puzzle is solved, if its task can be.

    Args:
        path: Path of the file.
        name: `PuzzleName` of the puzzles that are expected; `None`: sudokus of the size that the
            first one has.
        make: Function from a `PuzzleName` to a `mdnn.datasets.puzzles.puzzle.Puzzle`.
        encoding: String, the file's encoding as Python names it.

    Returns:
        The task, puzzles and solutions, uint8 `[n, positions]`.

    Raises:
        MdnnError: If the file cannot be read, or a row is malformed, of another size or of a
            puzzle that has no solution, several, or another one than said. The message names the
            line. Of a second solution at most `CHECKED` puzzles are suspected.
    """
    path = as_path(path, "source")
    sudoku = name is None or name.kind == "sudoku"
    rows = table_rows(path, None if name is None else make(name).positions, sudoku, encoding)
    reader = _TableReader(path, name, make)
    for line, puzzle, solution in rows:
        reader.add(line, puzzle, solution)
    reader.finish()
    task, puzzles, solutions = reader.task, reader.array(0), reader.array(1)
    number = min(CHECKED, len(puzzles))
    looked = np.arange(number) * len(puzzles) // number
    for start in range(0, number, TOGETHER):
        own = looked[start : start + TOGETHER]
        several = own[task.ambiguous(puzzles[own])].tolist()
        _refuse(path, reader.lines, dict.fromkeys(several, "more than one solution"))
    return task, puzzles, solutions


class _TableReader:
    """Turns rows into units, some thousand at a time.

    Args:
        path, name, make: As of `read_puzzles`.

    Attributes:
        task: The `Puzzle`, once there was a row.
        lines: `array` of the rows' numbers of lines.
    """

    def __init__(self, path, name, make):
        self.path, self.name, self.make = path, name, make
        self.task, self.lines = None, array("q")
        self._texts, self._units = ([], []), (bytearray(), bytearray())

    def add(self, line, puzzle, solution):
        """Takes a row: the number of its line, and two strings."""
        if self.task is None:
            self.task = self.make(self.name or self._named(line, puzzle))
        self.lines.append(line)
        self._texts[0].append(puzzle)
        self._texts[1].append(solution)
        if len(self._texts[0]) == TOGETHER:
            self.finish()

    def finish(self):
        """Turns the rows that were taken since into units, and checks them."""
        texts = self._texts
        if not texts[0]:
            return
        lines = self.lines[-len(texts[0]) :]
        task, path = self.task, self.path
        puzzles = _units(task, path, lines, texts[0], "puzzle")
        lacking = np.flatnonzero([not solution for solution in texts[1]])
        solutions = np.zeros_like(puzzles)
        if len(lacking) < len(puzzles):
            given = [s or task.text(p) for s, p in zip(texts[1], puzzles, strict=True)]
            solutions = _units(task, path, lines, given, "solution")
        if lacking.size:
            found, solved = task.solve(puzzles[lacking])
            _refuse(path, lines, {int(lacking[n]): what for n, what in found.items()})
            solutions[lacking] = solved
        _refuse(path, lines, task.wrong(puzzles, solutions))
        for units, arrays in zip(self._units, (puzzles, solutions), strict=True):
            units.extend(arrays.tobytes())
        self._texts = ([], [])

    def array(self, number):
        """Returns the puzzles (0) or solutions (1), uint8 `[n, positions]`."""
        return np.frombuffer(self._units[number], dtype=np.uint8).reshape(-1, self.task.positions)

    def _named(self, line, puzzle):
        """Returns the sudoku of a puzzle's size."""
        sizes = {size**2: size for size in BOXES}
        if len(puzzle) not in sizes:
            raise MdnnError(
                f"{self.path}, line {line}: expected a sudoku of {', '.join(map(str, sizes))} "
                f"symbols; received {len(puzzle)} symbols"
            )
        return PuzzleName("sudoku", (sizes[len(puzzle)],) * 2)


def _units(task, path, lines, texts, what):
    """Returns the units of texts, uint8 `[n, positions]`; of a sudoku's puzzle any blank is one."""
    for line, text in zip(lines, texts, strict=True):
        if len(text) != task.positions:
            raise MdnnError(
                f"{path}, line {line}: expected a {what} of {task.positions} symbols, a "
                f"{task.name}; "
                f"received {len(text)} symbols"
            )
    known = np.full(128, 255, dtype=np.uint8)
    if what == "puzzle" and task.name.startswith("sudoku"):
        known[[ord(symbol) for symbol in BLANKS]] = 0
    for unit, symbol in enumerate(task.alphabet):
        known[ord(symbol)] = unit
    points = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    units = np.where(points < 128, known[np.minimum(points, 127)], 255).astype(np.uint8)
    units = units.reshape(len(texts), task.positions)
    for number, position in np.argwhere(units == 255)[:1]:
        raise MdnnError(
            f"{path}, line {lines[number]}: expected a {what} of the symbols {task.alphabet!r}; "
            f"received {texts[number][position]!r} as symbol {position + 1}"
        )
    return units


def _refuse(path, lines, found):
    """Raises an error for the first of the puzzles in which something was found."""
    if found:
        number = min(found)
        raise MdnnError(f"{path}, line {lines[number]}: {found[number]}")
