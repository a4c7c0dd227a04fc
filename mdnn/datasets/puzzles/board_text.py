"""Formats puzzles, states and answers as text for a terminal."""

import numpy as np

from mdnn.datasets.puzzles.maze import Maze
from mdnn.datasets.puzzles.sudoku import Sudoku

# Separator between boards.
BETWEEN = "   "


def drawn(task, symbols, puzzle=None, solution=None):
    """Formats a board as lines of text.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        symbols: uint8 `[positions]`, symbol indices of a puzzle, a state or an answer.
        puzzle, solution: uint8 `[positions]` or `None`, the puzzle and its solution. With both,
            wrong predictions are followed by an exclamation mark.

    Returns:
        List of strings of equal length.
    """
    symbols = np.asarray(symbols).reshape(grid_of(task))
    wrong = np.zeros(symbols.shape, dtype=bool)
    if puzzle is not None and solution is not None:
        differ = (symbols.reshape(-1) != solution) & task.unknown_mask(np.asarray(puzzle))
        wrong = differ.reshape(symbols.shape)
    lines = []
    for row in range(len(symbols)):
        if isinstance(task, Sudoku) and row and row % task.box[0] == 0:
            lines.append("+".join(["-" * (2 * task.box[1])] * (task.size // task.box[1])))
        line = ""
        for column, index in enumerate(symbols[row]):
            if isinstance(task, Sudoku) and column and column % task.box[1] == 0:
                line += "|"
            line += _cell(task, index, wrong[row, column])
        lines.append(line)
    return lines


def _cell(task, index, wrong):
    symbol = task.alphabet[index]
    # Walls are drawn without gaps.
    return symbol + ("!" if wrong else "#" if isinstance(task, Maze) and symbol == "#" else " ")


def side_by_side(boards):
    """Formats boards side by side, each below its title.

    Args:
        boards: list of `(title, lines)`.

    Returns:
        A multi-line string.
    """
    height = max(len(lines) for _, lines in boards)
    columns = []
    for title, lines in boards:
        lines = [title, *lines, *[""] * (height - len(lines))]
        width = max(map(len, lines))
        columns.append([line.ljust(width) for line in lines])
    return "\n".join(BETWEEN.join(line).rstrip() for line in zip(*columns, strict=True))


def grid_of(task):
    """Returns the rows and columns of a task's board."""
    return (1, *task.shape) if len(task.shape) == 1 else task.shape
