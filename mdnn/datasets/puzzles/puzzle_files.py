"""Files of puzzles: CSV with a header, a puzzle and its solution in each row."""

import csv
import pathlib

import numpy as np

from mdnn.datasets.puzzles.sudoku import BOXES
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import PuzzleName

PUZZLE, SOLUTION = ("puzzle", "question", "quizzes"), ("solution", "answer", "solutions")
"""Names of the two columns; the second ones are Sudoku-Extreme's, the third a Kaggle set's."""

CHECKED = 20_000
"""Puzzles of a file, from all over it, that are looked at for a second solution."""

# Rows that are looked at together.
TOGETHER = 8192


def read_puzzles(path, name, make):
    """Reads a file of puzzles.

    The header names the columns, in any order: `puzzle,solution`, or
    `source,question,answer,rating` as Sudoku-Extreme has them. A puzzle is its symbols row by row;
    a sudoku's blanks are "." or "0". Without a solution, or where it is empty, the puzzle is
    solved, if its task can be.

    Args:
        path: Path of the file, UTF-8.
        name: `PuzzleName` of the puzzles that are expected; `None`: sudokus of the size that the
            first one has.
        make: Function from a `PuzzleName` to a `mdnn.datasets.puzzles.puzzle.Puzzle`.

    Returns:
        The task, puzzles and solutions, uint8 `[n, positions]`.

    Raises:
        MdnnError: If the file cannot be read, or a row is malformed, of another size or of a
            puzzle that has no solution, several, or another one than said. The message names the
            line. Of a second solution at most `CHECKED` puzzles are suspected.
    """
    path = pathlib.Path(path).expanduser()
    lines, puzzles, solutions = _rows(path)
    if name is None:
        sizes = {size**2: size for size in BOXES}
        if len(puzzles[0]) not in sizes:
            raise MdnnError(
                f"{path}, line {lines[0]}: expected a sudoku of {', '.join(map(str, sizes))} "
                f"symbols; received {len(puzzles[0])} symbols"
            )
        name = PuzzleName("sudoku", (sizes[len(puzzles[0])],) * 2)
    task = make(name)
    blank = task.alphabet[0] if name.kind == "sudoku" else None
    puzzles = _units(task, path, lines, puzzles, "puzzle", blank)
    lacking = np.array([not solution for solution in solutions])
    given = [s or task.text(p) for s, p in zip(solutions, puzzles, strict=True)]
    solutions = _units(task, path, lines, given, "solution")
    for start in range(0, len(lines), TOGETHER):
        part = slice(start, start + TOGETHER)
        own = np.flatnonzero(lacking[part]) + start
        if own.size:
            found, solved = task.solve(puzzles[own])
            _refuse(path, lines, {int(own[n]): what for n, what in found.items()})
            solutions[own] = solved
        found = task.wrong(puzzles[part], solutions[part])
        _refuse(path, lines, {start + n: what for n, what in found.items()})
    number = min(CHECKED, len(lines))
    looked = np.arange(number) * len(lines) // number
    for start in range(0, number, TOGETHER):
        own = looked[start : start + TOGETHER]
        several = own[task.ambiguous(puzzles[own])].tolist()
        _refuse(path, lines, dict.fromkeys(several, "more than one solution"))
    return task, puzzles, solutions


def _rows(path):
    """Returns the rows of a file: numbers of their lines, puzzles and solutions as strings."""
    lines, puzzles, solutions = [], [], []
    # A pipe or a device would be waited for.
    if path.exists() and not path.is_file():
        raise MdnnError(f"cannot read {str(path)!r}: expected a file")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [word.strip().lower() for word in next(reader, [])]
            first, second = _column(header, PUZZLE), _column(header, SOLUTION)
            if first is None:
                raise MdnnError(
                    f"{path}, line 1: expected a header with a column {', '.join(PUZZLE)}; "
                    f"received {','.join(header)[:60]!r}"
                )
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise MdnnError(
                        f"{path}, line {reader.line_num}: expected {len(header)} columns as in the "
                        f"header; received {len(row)}"
                    )
                lines.append(reader.line_num)
                puzzles.append(row[first])
                solutions.append("" if second is None else row[second])
    except OSError as error:
        raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MdnnError(f"{str(path)!r} is not UTF-8 text: {error.reason}") from None
    except csv.Error as error:
        raise MdnnError(f"{path}, line {reader.line_num}: no row of a CSV file: {error}") from None
    if not lines:
        raise MdnnError(f"{path}: expected rows of puzzles below the header; received none")
    return lines, puzzles, solutions


def _column(header, names):
    return next((header.index(name) for name in names if name in header), None)


def _units(task, path, lines, texts, what, zero=None):
    """Returns the units of texts, uint8 `[n, positions]`; `zero` is the symbol that "0" stands
    for."""
    for line, text in zip(lines, texts, strict=True):
        if len(text) != task.positions:
            raise MdnnError(
                f"{path}, line {line}: expected a {what} of {task.positions} symbols, a "
                f"{task.name}; "
                f"received {len(text)} symbols"
            )
    known = np.full(128, 255, dtype=np.uint8)
    for unit, symbol in enumerate(task.alphabet):
        known[ord(symbol)] = unit
    if zero is not None:
        known[ord("0")] = task.alphabet.index(zero)
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
