"""Tables of puzzles in the forms that people publish: rows of a puzzle and its solution.

A file is read once, row by row: a table of a million puzzles takes no more memory than its rows.
"""

import csv
import io
import itertools
import re

from mdnn.errors import MdnnError
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
"""Names of the column of puzzles, the usual ones first; `question` is Sudoku-Extreme's."""

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
"""Names of the column of solutions."""

BLANKS = ".0_-*?xX"
"""Symbols that stand for a blank of a sudoku."""

# Bytes at the beginning of a file that tell its encoding and form.
_LOOKED_AT = 1 << 16

# Symbols of the grids of sudokus whose size a file does not say.
_SIZES = {16: 4, 36: 6, 81: 9}

_SUDOKU = re.compile(rf"[1-9{re.escape(BLANKS)}]+")
_RULE = re.compile(r"[-+|=\s]*")


def table_rows(path, symbols=None, sudoku=True, encoding="utf-8"):
    """Yields the rows of a table of puzzles.

    Read are, each with or without a header: columns between commas, semicolons, tabs or vertical
    bars, between blanks (sudoku-exchange's bank), one puzzle a line, and a sudoku as a square of
    lines. A header may name its columns as `PUZZLE` and `SOLUTION` do; without such names the
    first column that looks like a puzzle is one, and the next one that looks so its solution.
    Empty lines are passed over, and so are comments of sudokus (lines that begin with "#" or "//").

    Args:
        path: Path of the file.
        symbols: Integer, symbols of a puzzle; `None`: those of a sudoku of any size.
        sudoku: Boolean, whether the puzzles are sudokus.
        encoding: String, the file's encoding as Python names it.

    Yields:
        `(line, puzzle, solution)`: the number of the line, from 1, and two strings; the solution
        is empty where there is none.

    Raises:
        MdnnError: If the file cannot be read, is in another encoding or has no puzzles. The
            message names the line.
    """
    encoding = check_encoding(encoding)
    # A pipe or a device would be waited for.
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
        # The error's offset counts from a block of the file.
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
    """One file's form, found from its first rows.

    Args:
        path: Path, for errors.
        symbols, sudoku: As of `table_rows`.
        file: Text file.
    """

    def __init__(self, path, symbols, sudoku, file):
        self.path, self.symbols, self.sudoku = path, symbols, sudoku
        self.file = file
        self.number = 0

    def rows(self):
        """Yields what `table_rows` does."""
        first = next(self._lines(), None)
        if first is None:
            raise MdnnError(f"{self.path}, line 1: {self._expected()}; received an empty file")
        line = first.strip()
        delimiter = next((mark for mark in ",;\t|" if mark in line), None)
        if delimiter in (None, "|") and (size := self._side(first)):
            yield from self._squares(first, size)
            return
        if delimiter is None and (not self.sudoku or len(line.split()) == 1):
            cells = ([line] for line in self._stripped(first))
        elif delimiter is None:
            cells = (line.split() for line in self._stripped(first))
        else:
            cells = self._cells(first, delimiter)
        yield from self._table(cells)

    def _table(self, cells):
        """Yields the rows of cells, the first of which may be a header."""
        head = next(cells)
        number = self.number
        named = [word.strip().lower() for word in head]
        columns = _named(named, PUZZLE), _named(named, SOLUTION)
        is_header = columns[0] is not None
        following = []
        if not is_header and not self._columns(head):
            # A header with other names: the row below it shows which columns there are.
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
        """Yields lines, of sudokus without blanks around them."""
        for line in itertools.chain([first], self._lines()):
            yield line.strip() if self.sudoku else line

    def _cells(self, first, delimiter):
        """Yields the cells of the rows of a CSV file."""
        lines = itertools.chain([first], self._lines())
        # A blank behind a comma belongs to no sudoku; a maze may begin with one.
        options = {"delimiter": delimiter, "strict": True, "skipinitialspace": self.sudoku}
        try:
            for row in csv.reader(lines, **options):
                if row:
                    yield row
        except csv.Error as error:
            raise MdnnError(
                f"{self.path}, line {self.number}: no row of a CSV file: {error}"
            ) from None

    def _side(self, line):
        """Returns the side of a square of lines that begins with a line, or `None`."""
        if not self.sudoku:
            return None
        line = _cell_symbols(line)
        known = [_SIZES[self.symbols]] if self.symbols in _SIZES else list(_SIZES.values())
        is_title = re.fullmatch(r"(grid|puzzle|sudoku|no\.?|game)\s*[#:]?\s*\d+:?", line.lower())
        if is_title:
            return known[-1]
        return len(line) if len(line) in known and _SUDOKU.fullmatch(line) else None

    def _squares(self, first, side):
        """Yields sudokus that are written as squares of lines, titles between them."""
        rows, start = [], 0
        for line in itertools.chain([first], self._lines()):
            symbols = _cell_symbols(line)
            if len(symbols) == side and _SUDOKU.fullmatch(symbols):
                start = start if rows else self.number
                rows.append(symbols)
            elif rows and not _RULE.fullmatch(line):
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
        """Returns the numbers of the columns that look like a puzzle and its solution."""
        found = [number for number, cell in enumerate(row) if self._is_puzzle(cell)]
        return (found[0], found[1] if len(found) > 1 else None) if found else None

    def _is_puzzle(self, cell):
        if not self.sudoku:
            return len(cell) == self.symbols
        cell = cell.strip()
        sizes = _SIZES if self.symbols is None else (self.symbols,)
        return len(cell) in sizes and bool(_SUDOKU.fullmatch(cell))

    def _expected(self):
        kind = "a sudoku" if self.sudoku else f"a puzzle of {self.symbols} symbols"
        return f"expected a header with a column {', '.join(PUZZLE[:3])}, or {kind}"


def _cell_symbols(line):
    """Returns a line of a square without what separates its boxes and cells."""
    return re.sub(r"[\s|]+", "", line) if not re.search("[A-Za-wyz]", line) else line.strip()


def _named(header, names):
    """Returns the number of the column with one of the names, or `None`."""
    header = [re.sub(r"[\s_-]*(string|str|text)$", "", word).strip("\"' ") for word in header]
    return next((header.index(name) for name in names if name in header), None)
