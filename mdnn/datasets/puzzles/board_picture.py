"""Draws puzzles, states and answers as PNG pictures."""

import matplotlib.colors
import matplotlib.figure
import numpy as np

from mdnn.datasets.puzzles.board_text import grid_of
from mdnn.datasets.puzzles.maze import Maze
from mdnn.datasets.puzzles.sudoku import Sudoku
from mdnn.files import replacing

# Free, wall, start, goal, path, and wrong positions.
COLOURS = ("#ffffff", "#333333", "#2e8b57", "#8e44ad", "#7fb3e6", "#f0b27a")

RIGHT, WRONG, GIVEN = "#1f4e8c", "#c0392b", "#000000"


def picture(task, boards, path, puzzle=None, solution=None):
    """Draws boards side by side as a PNG.

    Args:
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        boards: list of `(title, symbols)`, symbols uint8 `[positions]`, symbol indices.
        path: path of the PNG to write.
        puzzle, solution: As in `drawn`: predicted symbols are blue, or red if wrong.
    """
    rows, columns = grid_of(task)
    # Boards of one row are stacked vertically.
    layout = (len(boards), 1) if rows == 1 else (1, len(boards))
    side = 2.4 / min(max(rows, columns), 12)
    size = (layout[1] * max(1.6, side * columns), layout[0] * (side * rows + 0.4))
    figure = matplotlib.figure.Figure(figsize=size, dpi=120, layout="constrained")
    unknown = np.zeros((rows, columns), dtype=bool)
    if puzzle is not None:
        unknown = task.unknown_mask(np.asarray(puzzle)).reshape(rows, columns)
    axes_of = figure.subplots(*layout, squeeze=False).reshape(-1)
    for axes, (title, symbols) in zip(axes_of, boards, strict=True):
        wrong = np.zeros_like(unknown)
        # The puzzle itself is not marked as wrong.
        if solution is not None and not np.array_equal(symbols, puzzle):
            wrong = unknown & (np.asarray(symbols) != solution).reshape(rows, columns)
        symbols = np.asarray(symbols).reshape(rows, columns)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9, parse_math=False)
        (_maze if isinstance(task, Maze) else _board)(axes, task, symbols, unknown, wrong)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _maze(axes, task, symbols, unknown, wrong):
    shown = np.where(wrong, len(COLOURS) - 1, symbols)
    colours = matplotlib.colors.ListedColormap(COLOURS)
    axes.imshow(shown, cmap=colours, vmin=-0.5, vmax=len(COLOURS) - 0.5, interpolation="nearest")


def _board(axes, task, symbols, unknown, wrong):
    rows, columns = symbols.shape
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    if isinstance(task, Sudoku):
        for line in range(rows + 1):
            for draw, step in ((axes.axhline, task.box[0]), (axes.axvline, task.box[1])):
                thick = line % step == 0
                draw(line, color="#555555", linewidth=1.4 if thick else 0.4)
    style = {"ha": "center", "va": "center", "fontsize": 8, "parse_math": False}
    for (row, column), index in np.ndenumerate(symbols):
        symbol = task.alphabet[index]
        if isinstance(task, Sudoku) and index == 0:
            continue
        colour = WRONG if wrong[row, column] else RIGHT if unknown[row, column] else GIVEN
        axes.text(column + 0.5, row + 0.5, symbol, color=colour, **style)
