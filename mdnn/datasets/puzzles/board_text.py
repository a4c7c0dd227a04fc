"""Puzzles, states and answers in a terminal."""

import numpy as np

from mdnn.datasets.puzzles.maze import Maze
from mdnn.datasets.puzzles.sudoku import Sudoku

# Boards of a terminal stand this far apart.
BETWEEN = "   "


def drawn(task, units, puzzle=None, solution=None):
    """Returns a board as lines of text.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        units: uint8 `[positions]`, a puzzle, a state or an answer.
        puzzle, solution: The same, of the puzzle and its solution, where they are known: behind
            each symbol that is asked for and wrong stands an exclamation mark.

    Returns:
        List of strings, all of one length.
    """
    units = np.asarray(units).reshape(grid_of(task))
    wrong = np.zeros(units.shape, dtype=bool)
    if puzzle is not None and solution is not None:
        differ = (units.reshape(-1) != solution) & task.asked(np.asarray(puzzle))
        wrong = differ.reshape(units.shape)
    lines = []
    for row in range(len(units)):
        if isinstance(task, Sudoku) and row and row % task.box[0] == 0:
            lines.append("+".join(["-" * (2 * task.box[1])] * (task.size // task.box[1])))
        line = ""
        for column, unit in enumerate(units[row]):
            if isinstance(task, Sudoku) and column and column % task.box[1] == 0:
                line += "|"
            line += _cell(task, unit, wrong[row, column])
        lines.append(line)
    return lines


def _cell(task, unit, wrong):
    symbol = task.alphabet[unit]
    # Walls are drawn without gaps.
    return symbol + ("!" if wrong else "#" if isinstance(task, Maze) and symbol == "#" else " ")


def side_by_side(boards):
    """Returns boards beside one another, each under its title.

    Args:
        boards: List of `(title, lines)`.

    Returns:
        String of several lines.
    """
    height = max(len(lines) for _, lines in boards)
    columns = []
    for title, lines in boards:
        lines = [title, *lines, *[""] * (height - len(lines))]
        width = max(map(len, lines))
        columns.append([line.ljust(width) for line in lines])
    return "\n".join(BETWEEN.join(line).rstrip() for line in zip(*columns, strict=True))


def grid_of(task):
    """Rows and columns of a task's board."""
    return (1, *task.shape) if len(task.shape) == 1 else task.shape
