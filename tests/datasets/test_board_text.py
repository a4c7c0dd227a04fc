"""Puzzles as text and as pictures."""

import numpy as np
import pytest
from PIL import Image

from mdnn.datasets.puzzles.board_picture import picture
from mdnn.datasets.puzzles.board_text import drawn, side_by_side
from mdnn.datasets.puzzles.puzzle_splits import make_task


def test_a_sudoku_as_text():
    task = make_task("sudoku-4x4")
    puzzle, solution = map(task.symbols, ("1.3..41..1.3..2.", "1234341221434321"))
    state = solution.copy()
    state[1] = 4
    assert drawn(task, puzzle) == [
        "1 . |3 . ",
        ". 4 |1 . ",
        "----+----",
        ". 1 |. 3 ",
        ". . |2 . ",
    ]
    assert drawn(task, state, puzzle, solution)[0] == "1 4!|3 4 "
    text = side_by_side([("puzzle", drawn(task, puzzle)), ("answer", drawn(task, solution))])
    assert text.splitlines()[:2] == ["puzzle      answer", "1 . |3 .    1 2 |3 4"]


def test_a_maze_and_lines_as_text():
    task = make_task("maze-3x3")
    puzzle, solution = map(task.symbols, ("S   ## #G", "So  ## #G"))
    assert drawn(task, task.symbols("S   ## #G")) == ["S     ", "  ####", "  ##G "]
    assert drawn(task, puzzle, puzzle, solution)[0] == "S  !  "
    sums = make_task("prefix-sums-4")
    assert drawn(sums, sums.symbols("0110")) == ["0 1 1 0 "]


@pytest.mark.parametrize("name", ["sudoku-6x6", "maze-9x7", "prefix-sums-12", "addition-4"])
def test_pictures(name, tmp_path):
    task = make_task(name)
    puzzle, solution = (cases[0] for cases in task.draw_some(1, 0, 4))
    boards = [("puzzle", puzzle), ("answer", solution)]
    picture(task, boards, tmp_path / "right.png", puzzle, solution)
    state = np.where(task.unknown_mask(puzzle), (solution + 1) % len(task.alphabet), solution)
    picture(task, [boards[0], ("answer", state)], tmp_path / "wrong.png", puzzle, solution)
    right, wrong = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("right", "wrong"))
    assert right.shape == wrong.shape
    # The first board is the puzzle, in which nothing is wrong.
    axis = 0 if len(task.shape) == 1 else 1
    half = right.shape[axis] // 2
    differ = (right != wrong).any(axis=(1 - axis, 2))
    assert differ[half:].any()
    assert not differ[: half - 20].any()
    for name, known in (("known", solution), ("unknown", None)):
        picture(task, boards[:1], tmp_path / f"{name}.png", puzzle, known)
    known, unknown = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("known", "unknown"))
    np.testing.assert_array_equal(known, unknown)
