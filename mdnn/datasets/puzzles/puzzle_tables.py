"""Parses tables of puzzles in common formats, one puzzle and its solution per row.

A file is read once, row by row, so memory does not grow with the number of puzzles.
"""

import csv
import io
import itertools
import re

from mdnn.datasets.puzzles.puzzle_squares import is_border, joined_cells, square_row, square_side
from mdnn.errors import MdnnError
from mdnn.strict_json import parse_json
from mdnn.text_encodings import check_encoding, decode_text, undecodable

PUZZLE = (
    "puzzle",
    "question",
    "quizzes",
    "puzzles",
    "questions",
    "quiz",
    "sudoku",
    "sudokus",
    "grid",
    "board",
    "problem",
    "unsolved",
    "input",
    "maze",
)
"""Names of the puzzle column in order of priority; `question` is used by Sudoku-Extreme."""

SOLUTION = (
    "solution",
    "answer",
    "solutions",
    "answers",
    "solved",
    "output",
    "target",
    "label",
    "response",
)
"""Names of the solution column, in order of priority."""

BLANKS = ".0_-*?xX"
"""Symbols of empty cells in sudokus."""

# The first line of files that Excel is to read, which names their delimiter.
_EXCEL = re.compile(r'"?sep=(.)"?')

# Bytes at the start of a file that are used to detect its encoding.
_LOOKED_AT = 1 << 16

# Sizes of sudokus by their number of symbols.
_SIZES = {16: 4, 36: 6, 81: 9}

_SUDOKU = re.compile(rf"[1-9{re.escape(BLANKS)}]+")


def table_rows(path, symbols=None, sudoku=True, encoding="utf-8"):
    """Yields the rows of a table of puzzles.

    Supported formats, each with or without a header: columns separated by commas, semicolons, tabs,
    vertical bars or spaces (sudoku-exchange's bank), one puzzle per line, a JSON object per line,
    sudokus with a column per cell, and sudokus as squares of several lines. A header may use the
    column names in `PUZZLE` and `SOLUTION`; otherwise the first column with the form of a puzzle is
    the puzzle, the second its solution. Empty lines are skipped, and so are comments in files of
    sudokus (lines that start with "#" or "//").

    Args:
        path: path of the file.
        symbols: int, symbols per puzzle; `None` for sudokus of any size.
        sudoku: bool, whether the puzzles are sudokus.
        encoding: str, the file's encoding (Python's name).

    Yields:
        `(line, puzzle, solution)`: the line number from 1, and two strings; the solution is empty
        if the row has none.

    Raises:
        MdnnError: the file cannot be read, has another encoding or no puzzles. The message
            names the line.
    """
    encoding = check_encoding(encoding)
    # Opening a pipe or a device could block.
    if path.exists() and not path.is_file():
        raise MdnnError(f"cannot read {str(path)!r}: expected a file")
    try:
        with open(path, "rb") as file:
            beginning = file.read(_LOOKED_AT)
            file.seek(0)
            signed = encoding == "utf-8"
            text = io.TextIOWrapper(file, "utf-8-sig" if signed else encoding, newline="")
            yield from _Table(path, symbols, sudoku, text).rows()
    except OSError as error:
        raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        # The error's offset is relative to a block of the file.
        try:
            decode_text(beginning, encoding, repr(str(path)))
        except MdnnError as known:
            if len(beginning) < _LOOKED_AT:
                raise known from None
        byte = error.object[error.start : error.start + 1]
        raise undecodable(repr(str(path)), byte, encoding, 0, path.stat().st_size) from None
    except UnicodeError as error:
        raise MdnnError(f"{str(path)!r} is not {encoding} text: {error}") from None


class _Table:
    """Parses one file; its format is detected from the first rows.

    Args:
        path: path, for error messages.
        symbols, sudoku: As in `table_rows`.
        file: Text file.
    """

    def __init__(self, path, symbols, sudoku, file):
        self.path, self.symbols, self.sudoku = path, symbols, sudoku
        self.file = file
        self.number = 0

    def rows(self):
        """Yields the rows of `table_rows`."""
        first = next(self._lines(), None)
        if first is None:
            raise MdnnError(f"{self.path}, line 1: {self._expected()}; received an empty file")
        line, delimiter = first.strip(), None
        if (excel := _EXCEL.fullmatch(line)) and (following := next(self._lines(), None)):
            first, delimiter = following, excel[1]
        delimiter = delimiter or next((mark for mark in ",;\t|" if mark in line), None)
        if self.sudoku and (size := square_side(first, delimiter, self._sizes())):
            yield from self._squares(first, size, delimiter)
            return
        if self.sudoku and line.startswith("{"):
            yield from self._table(self._objects(first))
            return
        if delimiter is None and (not self.sudoku or len(line.split()) == 1):
            cells = ([line] for line in self._stripped(first))
        elif delimiter is None:
            cells = (line.split() for line in self._stripped(first))
        else:
            cells = self._cells(first, delimiter)
        yield from self._table(cells)

    def _table(self, cells):
        """Yields `(line, puzzle, solution)` from lists of cells; the first may be a header."""
        if self.sudoku:
            cells = joined_cells(cells, self._symbol_counts())
        head = next(cells)
        number = self.number
        named = [word.strip().lower() for word in head]
        columns = _named(named, PUZZLE), _named(named, SOLUTION)
        is_header = columns[0] is not None
        following = []
        if not is_header and not self._columns(head):
            # A header with other names: detect the columns from the next row.
            following = list(itertools.islice(cells, 1))
            is_header = bool(following) and bool(self._columns(following[0]))
            if not is_header:
                raise MdnnError(
                    f"{self.path}, line {number}: {self._expected()}; received "
                    f"{','.join(named)[:60]!r}"
                )
            columns = self._columns(following[0])
        elif not is_header:
            columns = self._columns(head)
            following = [head]
        width = len(head) if is_header else None
        empty = True
        for row in itertools.chain(following, cells):
            if width is not None and len(row) != width:
                raise MdnnError(
                    f"{self.path}, line {self.number}: expected {width} columns as in the "
                    f"header; received {len(row)}"
                )
            first, second = columns
            if first >= len(row):
                raise MdnnError(
                    f"{self.path}, line {self.number}: expected a puzzle in column {first + 1}; "
                    f"received {len(row)} columns"
                )
            solution = "" if second is None or second >= len(row) else row[second]
            if self.sudoku:
                yield self.number, row[first].strip(), solution.strip()
            else:
                yield self.number, row[first], solution
            empty = False
        if empty:
            raise MdnnError(
                f"{self.path}: expected rows of puzzles below the header; received none"
            )

    def _lines(self):
        """Yields the lines that are neither empty nor comments."""
        for line in self.file:
            self.number += 1
            line = line.rstrip("\r\n")
            if line.strip() and not (self.sudoku and line.startswith(("#", "//"))):
                yield line

    def _stripped(self, first):
        """Yields lines, in files of sudokus without surrounding spaces."""
        for line in itertools.chain([first], self._lines()):
            yield line.strip() if self.sudoku else line

    def _cells(self, first, delimiter):
        """Yields the cells of the rows of a CSV file."""
        lines = itertools.chain([first], self._lines())
        # Sudokus never start with a space; a maze may.
        options = {"delimiter": delimiter, "strict": True, "skipinitialspace": self.sudoku}
        try:
            for row in csv.reader(lines, **options):
                if row:
                    yield row
        except csv.Error as error:
            raise MdnnError(f"{self.path}, line {self.number}: invalid CSV row: {error}") from None

    def _objects(self, first):
        """Yields the cells of JSON objects, one a line: first their keys, then their values."""
        keys = None
        for line in itertools.chain([first], self._lines()):
            where = f"{self.path}, line {self.number}"
            table = parse_json(line, where)
            if not isinstance(table, dict) or (keys is not None and table.keys() != keys):
                raise MdnnError(f"{where}: expected an object with the keys of the first line")
            if keys is None:
                keys = table.keys()
                yield [key.lower() for key in keys]
            yield [value if isinstance(value, str) else "" for value in table.values()]

    def _sizes(self):
        """Returns the sizes of squares that are expected."""
        return [_SIZES[self.symbols]] if self.symbols in _SIZES else list(_SIZES.values())

    def _squares(self, first, side, delimiter):
        """Yields sudokus written as squares of lines, with optional titles between them."""
        rows, start, is_state = [], 0, False
        for line in itertools.chain([first], self._lines()):
            symbols = square_row(line, delimiter)
            # A second square of a puzzle shows how far somebody got.
            is_state = line.strip().lower() == "[state]" or (
                is_state and not line.lstrip().startswith("[")
            )
            if is_state:
                continue
            if len(symbols) == side and _SUDOKU.fullmatch(symbols):
                start = start if rows else self.number
                rows.append(symbols)
            elif rows and not is_border(line):
                raise MdnnError(
                    f"{self.path}, line {self.number}: expected {side} lines of {side} symbols, a "
                    f"sudoku from line {start} on; received {line[:60]!r}"
                )
            if len(rows) == side:
                yield start, "".join(rows), ""
                rows = []
        if rows or not start:
            raise MdnnError(
                f"{self.path}, line {self.number}: expected {side} lines of {side} symbols, a "
                f"sudoku; received {len(rows)}"
            )

    def _columns(self, row):
        """Returns the indices of the puzzle and solution columns, detected by their form."""
        matches = [number for number, cell in enumerate(row) if self._is_puzzle(cell)]
        return (matches[0], matches[1] if len(matches) > 1 else None) if matches else None

    def _is_puzzle(self, cell):
        if not self.sudoku:
            return len(cell) == self.symbols
        cell = cell.strip()
        return len(cell) in self._symbol_counts() and bool(_SUDOKU.fullmatch(cell))

    def _symbol_counts(self):
        """Returns the numbers of symbols that a sudoku may have here."""
        return tuple(_SIZES) if self.symbols is None else (self.symbols,)

    def _expected(self):
        kind = "a sudoku" if self.sudoku else f"a puzzle of {self.symbols} symbols"
        return f"expected a header with a column {', '.join(PUZZLE[:3])}, or {kind}"


def _named(header, names):
    """Returns the index of the column with one of the names, or `None`."""
    header = [re.sub(r"[\s_-]*(string|str|text)$", "", word).strip("\"' ") for word in header]
    return next((header.index(name) for name in names if name in header), None)
