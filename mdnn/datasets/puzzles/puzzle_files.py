"""Reads files of puzzles with one puzzle and its solution per row."""

from array import array

import numpy as np

from mdnn.datasets.puzzles.puzzle_tables import BLANKS, table_rows
from mdnn.datasets.puzzles.sudoku import BOXES
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.tokens.symbols import PuzzleName

CHECKED = 20_000
"""Maximum number of a file's puzzles that are checked for a second solution."""

# Rows that are processed at a time.
TOGETHER = 8192


def read_puzzles(path, name, make, encoding="utf-8"):
    """Reads a file of puzzles, in memory of about twice the file's size.

    See `mdnn.datasets.puzzles.puzzle_tables.table_rows` for the supported formats. A puzzle is a
    string of its symbols in row-major order; empty cells of sudokus are any of `BLANKS`. Puzzles
    without a solution are solved, if the task supports it.

    Args:
        path: path of the file.
        name: `PuzzleName` of the expected puzzles; `None` for sudokus of the first one's size.
        make: function from a `PuzzleName` to a `mdnn.datasets.puzzles.puzzle.Puzzle`.
        encoding: str, the file's encoding (Python's name).

    Returns:
        `(task, puzzles, solutions)`: the task, and two arrays uint8 `[n, positions]`.

    Raises:
        MdnnError: the file cannot be read, a row is malformed or of another size, or a puzzle
            has no solution, a wrong one or several. The message names the line. At most `CHECKED`
            puzzles, spread over the file, are checked for a second solution.
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
    checked = np.arange(number) * len(puzzles) // number
    for start in range(0, number, TOGETHER):
        chunk = checked[start : start + TOGETHER]
        several = chunk[task.ambiguous(puzzles[chunk])].tolist()
        _refuse(path, reader.lines, dict.fromkeys(several, "more than one solution"))
    return task, puzzles, solutions


class _TableReader:
    """Converts rows to symbol indices, `TOGETHER` rows at a time.

    Args:
        path, name, make: As in `read_puzzles`.

    Attributes:
        task: `Puzzle`, or `None` before the first row.
        lines: `array`, the line number of each row.
    """

    def __init__(self, path, name, make):
        self.path, self.name, self.make = path, name, make
        self.task, self.lines = None, array("q")
        self._texts, self._symbol_indices = ([], []), (bytearray(), bytearray())

    def add(self, line, puzzle, solution):
        """Adds a row: its line number, and the puzzle and solution as strings."""
        if self.task is None:
            self.task = self.make(self.name or self._named(line, puzzle))
        self.lines.append(line)
        self._texts[0].append(puzzle)
        self._texts[1].append(solution)
        if len(self._texts[0]) == TOGETHER:
            self.finish()

    def finish(self):
        """Converts and checks the rows added since the last call."""
        texts = self._texts
        if not texts[0]:
            return
        lines = self.lines[-len(texts[0]) :]
        task, path = self.task, self.path
        puzzles = _symbol_indices(task, path, lines, texts[0], "puzzle")
        lacking = np.flatnonzero([not solution for solution in texts[1]])
        solutions = np.zeros_like(puzzles)
        if len(lacking) < len(puzzles):
            completed = [s or task.text(p) for s, p in zip(texts[1], puzzles, strict=True)]
            solutions = _symbol_indices(task, path, lines, completed, "solution")
        if lacking.size:
            errors, solved = task.solve(puzzles[lacking])
            _refuse(path, lines, {int(lacking[n]): message for n, message in errors.items()})
            solutions[lacking] = solved
        _refuse(path, lines, task.wrong(puzzles, solutions))
        for symbols, arrays in zip(self._symbol_indices, (puzzles, solutions), strict=True):
            symbols.extend(arrays.tobytes())
        self._texts = ([], [])

    def array(self, number):
        """Returns the puzzles (0) or solutions (1), uint8 `[n, positions]`."""
        return np.frombuffer(self._symbol_indices[number], dtype=np.uint8).reshape(
            -1, self.task.positions
        )

    def _named(self, line, puzzle):
        """Derives the sudoku's `PuzzleName` from the number of symbols."""
        sizes = {size**2: size for size in BOXES}
        if len(puzzle) not in sizes:
            raise MdnnError(
                f"{self.path}, line {line}: expected a sudoku of {', '.join(map(str, sizes))} "
                f"symbols; received {len(puzzle)} symbols"
            )
        return PuzzleName("sudoku", (sizes[len(puzzle)],) * 2)


def _symbol_indices(task, path, lines, texts, what):
    """Converts strings to symbol indices, uint8 `[n, positions]`; any of `BLANKS` is 0."""
    for line, text in zip(lines, texts, strict=True):
        if len(text) != task.positions:
            raise MdnnError(
                f"{path}, line {line}: expected a {what} of {task.positions} symbols, a "
                f"{task.name}; received {len(text)} symbols"
            )
    symbol_index = np.full(128, 255, dtype=np.uint8)
    if what == "puzzle" and task.name.startswith("sudoku"):
        symbol_index[[ord(symbol) for symbol in BLANKS]] = 0
    for index, symbol in enumerate(task.alphabet):
        symbol_index[ord(symbol)] = index
    points = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    symbols = np.where(points < 128, symbol_index[np.minimum(points, 127)], 255).astype(np.uint8)
    symbols = symbols.reshape(len(texts), task.positions)
    for number, position in np.argwhere(symbols == 255)[:1]:
        raise MdnnError(
            f"{path}, line {lines[number]}: expected a {what} of the symbols {task.alphabet!r}; "
            f"received {texts[number][position]!r} as symbol {position + 1}"
        )
    return symbols


def _refuse(path, lines, errors):
    """Raises the error of the first wrong puzzle, if there is one."""
    if errors:
        number = min(errors)
        raise MdnnError(f"{path}, line {lines[number]}: {errors[number]}")
