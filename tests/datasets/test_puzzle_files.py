"""Files of puzzles: what is read, and what is refused in which line."""

import numpy as np
import pytest

from mdnn.datasets.puzzles.puzzle_splits import make_task, open_puzzles
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import PuzzleName

SMALL = "1.3..41..1.3..2.", "1234341221434321"


def write(folder, text, name="puzzles.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def some(name, number):
    task = make_task(name)
    puzzles, solutions = task.draw_some(0, 0, number)
    return [(task.text(p), task.text(s)) for p, s in zip(puzzles, solutions, strict=True)]


def test_puzzle_and_solution(tmp_path):
    rows = some("sudoku-6x6", 50)
    path = write(tmp_path, "puzzle,solution\n" + "".join(f"{p},{s}\n" for p, s in rows))
    splits = open_puzzles(path, validation=0.3, seed=1)
    assert splits.task.name == "sudoku-6x6"
    sides = [
        {splits.task.text(p) for p in side.puzzles} for side in (splits.train, splits.validation)
    ]
    assert len(sides[0]) > len(sides[1]) > 5
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {p for p, _ in rows}
    puzzles, solutions = splits.train.at(4, 30)
    assert splits.task.wrong(puzzles, solutions) == {}
    for again, same in zip(splits.train.at(4, 30), (puzzles, solutions), strict=True):
        np.testing.assert_array_equal(again, same)
    # All of it, to evaluate on.
    whole = open_puzzles(path, validation=0.0).validation.different(1000)
    assert [splits.task.text(p) for p in whole[0]] == [p for p, _ in rows]
    assert len(open_puzzles(path, validation=0.0).validation.different(7)[0]) == 7


def test_sudoku_extreme(tmp_path):
    rows = some("sudoku-9x9", 12)
    lines = [
        f"puzzles4_forum,{p.replace('.', '.0'[n % 2])},{s},{n}" for n, (p, s) in enumerate(rows)
    ]
    path = write(tmp_path, "source,question,answer,rating\r\n" + "\r\n".join(lines) + "\r\n")
    found = open_puzzles(path, validation=0.0).validation
    assert [found.task.text(p) for p in found.puzzles] == [p for p, _ in rows]
    assert [found.task.text(s) for s in found.solutions] == [s for _, s in rows]


def test_puzzles_without_solutions_are_solved(tmp_path):
    for name in ("sudoku-4x4", "maze-7x7", "prefix-sums-9", "addition-4"):
        rows = some(name, 9)
        text = "puzzle,solution\n" + "".join(
            f"{p},{s * (n % 2)}\n" for n, (p, s) in enumerate(rows)
        )
        found = open_puzzles(f"{name}:{write(tmp_path, text)}", validation=0.0).validation
        assert [found.task.text(s) for s in found.solutions] == [s for _, s in rows]
        only = write(tmp_path, "puzzle\n" + "".join(f"{p}\n" for p, _ in rows))
        found = open_puzzles(f"{name}:{only}", validation=0.0).validation
        assert [found.task.text(s) for s in found.solutions] == [s for _, s in rows]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected a header with a column puzzle"),
        ("a,b\n1,2\n", "line 1: expected a header .* received 'a,b'"),
        ("puzzle,solution\n", "expected rows of puzzles below the header; received none"),
        ("puzzle,solution\n{0},{1}\n\n{0}\n", "line 4: expected 2 columns .* received 1"),
        ("puzzle,solution\n{0},{1}\n{0},{1},5\n", "line 3: expected 2 columns .* received 3"),
        (
            "puzzle,solution\n{0},{1}\n12,12\n",
            "line 3: expected a puzzle of 16 symbols, a sudoku-4x4; received 2",
        ),
        ("puzzle,solution\n{0},{1}\n{0},12\n", "line 3: expected a solution of 16 symbols"),
        (
            "puzzle,solution\n123,123\n",
            "line 2: expected a sudoku of 16, 36, 81 symbols; received 3",
        ),
        ("puzzle,solution\n{0},{1}\n7{2},{1}\n", "line 3: .* received '7' as symbol 1"),
        ("puzzle,solution\n{0},{1}\nä{2},{1}\n", "line 3: .* received 'ä' as symbol 1"),
        (
            "puzzle,solution\n{0},{1}\n{0},2134342112434312\n",
            "line 3: the solution changes the given row 1, column 1",
        ),
        (
            "puzzle,solution\n{0},{1}\n11..............,{1}\n",
            "line 3: the digit 1 is twice in row 1",
        ),
        (
            "puzzle,solution\n{0},1432341221434321\n",
            "line 2: no solution: the digit 4 is twice in column 2",
        ),
        ("puzzle,solution\n{0},{0}\n", "line 2: the solution leaves row 1, column 2 empty"),
        ("puzzle,solution\n1...............,{1}\n", "line 2: more than one solution"),
        ("puzzle\n1...............\n", "line 2: more than one solution"),
        ("puzzle\n123....4........\n", "line 2: no solution"),
        ("puzzle\n1.......1.......\n", "line 2: the digit 1 is twice in column 1"),
        ('puzzle,solution\n{0},"{1}\n', "line 2: invalid CSV row"),
    ],
)
def test_rows_that_are_refused(tmp_path, text, words):
    path = write(tmp_path, text.format(*SMALL, SMALL[0][1:]))
    with pytest.raises(MdnnError, match=words) as error:
        open_puzzles(path)
    assert "\n" not in str(error.value)
    assert "puzzles.csv" in str(error.value)


def test_mazes_that_are_refused(tmp_path):
    for rows, words in (
        ("S #  # #G", "no path from the start to the goal"),
        ("S      # G"[:9], "expected exactly one goal G"),
        ("       #G", "expected exactly one start S"),
        ("S   #   G", "several shortest paths"),
        ("So  #   G", "the puzzle already has path symbols o"),
    ):
        path = write(tmp_path, f"puzzle\n{rows}\n")
        with pytest.raises(MdnnError, match=f"line 2: {words}"):
            open_puzzles(f"maze-3x3:{path}")
    path = write(tmp_path, "puzzle,solution\nS   #  #G,S   #  #G\n")
    with pytest.raises(MdnnError, match="line 2: the solution is not the shortest path"):
        open_puzzles(f"maze-3x3:{path}")


def test_another_puzzle_than_the_network_was_built_for(tmp_path):
    path = write(tmp_path, "puzzle,solution\n{},{}\n".format(*SMALL))
    expected = PuzzleName.of("sudoku-9x9")
    with pytest.raises(
        MdnnError, match="line 2: expected a puzzle of 81 symbols, a sudoku-9x9; received 16"
    ):
        open_puzzles(path, expected=expected)
    with pytest.raises(MdnnError, match=r"expected a sudoku-9x9, .* built for; received maze-5x5"):
        open_puzzles(f"maze-5x5:{path}", expected=expected)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MdnnError, match=r"cannot read .*none.csv': No such file"):
        open_puzzles(str(tmp_path / "none.csv"))
    path = tmp_path / "bytes.csv"
    path.write_bytes(b"puzzle\n\xff\xfe\n")
    with pytest.raises(MdnnError, match="is not UTF-8"):
        open_puzzles(str(path))
    path = write(tmp_path, "puzzle,solution\n{},{}\n".format(*SMALL))
    with pytest.raises(MdnnError, match=r"1 puzzles split into . to train on and . held out"):
        open_puzzles(path, validation=0.5)
