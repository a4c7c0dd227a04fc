"""Parses sudokus that are written as squares of lines, or with a column for each cell."""

import itertools
import re

_TITLE = re.compile(r"\[puzzle\]|(grid|puzzle|sudoku|no\.?|game)\s*[#:]?\s*\d+:?")

# Lines between rows and around squares: "---+---+---", "*-----------*", ".-------.-------.".
_BORDER = re.compile(r"[-+|=\s]*|[.*+:'|]-[-+=.*:'|\s]*")

_CELL = re.compile(r"[1-9.0_*?xX-]?")


def square_side(line, delimiter, sizes):
    """Returns the size of the sudoku whose square starts with a line, or `None`.

    Args:
        line: str, the first line of a file.
        delimiter: str, what separates cells; `None` for no character.
        sizes: list of ints, the expected sizes. A title or a border gives the last of them.
    """
    if delimiter in (None, "|") and _TITLE.fullmatch(line.strip().lower()):
        return sizes[-1]
    if is_border(line) and "-" in line and line.strip("-") and len(line.strip()) > 4:
        return sizes[-1]
    symbols = square_row(line, delimiter)
    return len(symbols) if len(symbols) in sizes and all(map(_CELL.fullmatch, symbols)) else None


def square_row(line, delimiter=None):
    """Returns the symbols of a line of a square: without what separates boxes and cells.

    Args:
        line: str.
        delimiter: str, what separates cells, of which empty ones are blanks; `None` for none.
    """
    if delimiter not in (None, "|"):
        cells = [cell.strip() for cell in line.split(delimiter)]
        if all(map(_CELL.fullmatch, cells)):
            return "".join(cell or "0" for cell in cells)
    return re.sub(r"[\s|]+", "", line) if not re.search("[A-Za-wyz]", line) else line.strip()


def is_border(line):
    """Returns whether a line is drawn between rows or around a square."""
    return _BORDER.fullmatch(line.strip()) is not None


def joined_cells(rows, counts):
    """Yields rows; those with a column for each cell of a sudoku become a puzzle and its solution.

    Args:
        rows: iterable of lists of strings. The first may be a header.
        counts: numbers of cells that a sudoku may have.
    """
    rows = iter(rows)
    beginning = list(itertools.islice(rows, 1))
    width = len(beginning[0])
    count = next((n for n in counts if width in (n, 2 * n)), None)
    if count is not None:
        beginning += itertools.islice(rows, 1)
    if count is None or not all(map(_CELL.fullmatch, map(str.strip, beginning[-1]))):
        yield from itertools.chain(beginning, rows)
        return
    if not all(map(_CELL.fullmatch, map(str.strip, beginning[0]))):
        del beginning[0]
    for row in itertools.chain(beginning, rows):
        symbols = "".join(cell.strip()[:1] or "0" for cell in row)
        yield [symbols[at : at + count] for at in range(0, len(symbols), count)]
