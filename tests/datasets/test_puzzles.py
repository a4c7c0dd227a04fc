"""Puzzles drawn from a seed: right, of the size asked for, and never on both sides."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from mdnn.datasets.puzzles.cases import DrawnCases, held_out
from mdnn.datasets.puzzles.puzzle_splits import make_task, open_puzzles
from mdnn.datasets.puzzles.sudoku import BOXES, Sudoku
from mdnn.datasets.puzzles.sudoku_solver import count_solutions, to_digits, to_masks, units_of
from mdnn.datasets.random_bits import IMAGES, raw_bits
from mdnn.errors import MdnnError

SMALL = ("sudoku-4x4", "sudoku-6x6", "maze-5x7", "maze-6x9", "prefix-sums-20", "addition-3")

# Sudoku-Extreme's first kind of puzzles: 17 givens, one solution.
HARD = (
    "000000010400000000020000000000050407008000300001090000300400200050100000000806000",
    "693784512487512936125963874932651487568247391741398625319475268856129743274836159",
)


def array(text):
    return np.array([[int(symbol) for symbol in text]], dtype=np.uint8)


@pytest.mark.parametrize("name", SMALL)
def test_cases_are_right_and_a_function_of_seed_and_number(name):
    task = make_task(name)
    puzzles, solutions = task.draw_some(3, 5, 40)
    assert puzzles.shape == solutions.shape == (len(puzzles), task.positions)
    assert len(puzzles) > 20
    assert task.wrong(puzzles, solutions) == {}
    found, again = task.solve(puzzles)
    assert found == {}
    np.testing.assert_array_equal(again, solutions)
    for drawn, same in zip(task.draw_some(3, 5, 40), (puzzles, solutions), strict=True):
        np.testing.assert_array_equal(drawn, same)
    for other in (task.draw_some(3, 6, 40), task.draw_some(4, 5, 40)):
        assert len(other[0]) != len(puzzles) or (other[0] != puzzles).any()
    text = task.text(puzzles[0])
    assert len(text) == task.positions
    np.testing.assert_array_equal(task.symbols(text), puzzles[0])


@pytest.mark.parametrize("name", SMALL)
def test_steps_do_not_depend_on_each_other(name):
    first, second = (DrawnCases(make_task(name), 7, 0.2) for _ in range(2))
    first.chunk = second.chunk = 32
    forth = [first.at(step, 24) for step in range(24)]
    back = [second.at(step, 24) for step in reversed(range(24))][::-1]
    for a, b in zip(forth, back, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    assert all((a[0] != b[0]).any() for a, b in itertools.pairwise(forth))
    # Each case by its number, whatever it is taken with.
    numbers = np.array([24 * 5 + 3, 2, 24 * 20 + 7])
    for taken, part in zip(first.take(numbers), (0, 1), strict=True):
        steps = ((5, 3), (0, 2), (20, 7))
        np.testing.assert_array_equal(taken, [forth[step][part][row] for step, row in steps])
    assert first.task.wrong(*forth[-1]) == {}


@pytest.mark.parametrize("name", SMALL)
def test_no_puzzle_is_on_both_sides_whatever_the_seed(name):
    splits = open_puzzles(name, validation=0.3, seed=1)
    tests, solutions = splits.validation.different(60)
    assert len(tests) == len({test.tobytes() for test in tests}) == 60
    assert splits.task.wrong(tests, solutions) == {}
    seen = set()
    for seed in (0, 1):
        train = DrawnCases(splits.task, seed, 0.3)
        train.chunk = 64
        for step in range(16):
            seen |= {puzzle.tobytes() for puzzle in train.at(step, 64)[0]}
    assert len(seen) > 500
    assert not seen & {test.tobytes() for test in tests}
    trained = np.array([np.frombuffer(key, dtype=np.uint8) for key in seen])
    assert not set(splits.task.hashes(trained)) & set(splits.task.hashes(tests))
    # The same tests for every network.
    other = open_puzzles(name, validation=0.3, seed=2).validation.different(60)[0]
    np.testing.assert_array_equal(other, tests)


def canonical(grid):
    """The least of all images of a 4x4 sudoku, by going through all of them."""
    lines = [
        band + other
        for bands in (((0, 1), (2, 3)), ((2, 3), (0, 1)))
        for band in itertools.permutations(bands[0])
        for other in itertools.permutations(bands[1])
    ]
    found = []
    for turned in (grid, grid.T):
        for rows, columns in itertools.product(lines, lines):
            names = {0: 0}
            cells = turned[np.ix_(rows, columns)].reshape(-1).tolist()
            found.append(tuple(names.setdefault(cell, len(names)) for cell in cells))
    return min(found)


def test_no_image_of_a_held_out_sudoku_is_trained_on():
    splits = open_puzzles("sudoku-4x4", validation=0.3, seed=1)
    sides = []
    for puzzles in (splits.train.at(3, 150)[0], splits.validation.different(60)[0]):
        sides.append({canonical(puzzle.reshape(4, 4)) for puzzle in puzzles})
    assert min(map(len, sides)) > 20
    assert not sides[0] & sides[1]


def test_a_drawn_sudoku_is_used_again_as_another_image():
    cases = DrawnCases(make_task("sudoku-6x6"), 7, 0.1)
    cases.chunk = 32
    steps = [cases.at(step, 32)[0] for step in range(cases.task.reuse + 1)]
    hashes = [cases.task.hashes(puzzles).tolist() for puzzles in steps]
    assert all(own == hashes[0] for own in hashes[:-1])
    assert hashes[-1] != hashes[0]
    assert len({puzzles.tobytes() for puzzles in steps}) == len(steps)


def test_about_the_share_is_held_out():
    for name in ("sudoku-6x6", "prefix-sums-32", "maze-9x9"):
        task = make_task(name)
        puzzles = task.draw_some(0, 0, 1000)[0]
        assert 0.15 < held_out(task, puzzles, 0.2).mean() < 0.25
        assert held_out(task, puzzles, 1.0).all()


@pytest.mark.parametrize("size", [4, 6, 9])
def test_sudokus_have_one_solution_and_the_givens_asked_for(size):
    low, high = {4: (5, 7), 6: (11, 14), 9: (32, 34)}[size]
    task = Sudoku(size, (low, high))
    puzzles, solutions = task.draw_some(1, 0, 200)
    givens = (puzzles > 0).sum(axis=1)
    assert set(givens) == set(range(low, high + 1))
    units, of_cell = units_of(*BOXES[size])
    assert (np.sort(solutions[:, units], axis=2) == np.arange(1, size + 1)).all()
    assert all(cell in units[of_cell[cell]].T for cell in range(size**2))
    assert not task.ambiguous(puzzles).any()
    # One given fewer than a puzzle with no given to spare: then there are several.
    blank = np.zeros((1, size**2), dtype=np.uint8)
    assert task.ambiguous(blank).all()


@pytest.mark.parametrize("size", [4, 6, 9])
def test_images_of_a_sudoku_are_sudokus_on_the_same_side(size):
    task = Sudoku(size)
    puzzles, solutions = task.draw_some(2, 0, 50)
    words = raw_bits(1, 0, (2, 50, task.image_words), IMAGES)
    images = task.images(puzzles, solutions, words[0])
    assert task.wrong(*images) == {}
    assert not task.ambiguous(images[0]).any()
    np.testing.assert_array_equal(task.hashes(images[0]), task.hashes(puzzles))
    assert (images[0] != puzzles).any(axis=1).mean() > 0.9
    other = task.images(puzzles, solutions, words[1])[0]
    assert (other != images[0]).any(axis=1).mean() > 0.9
    # Another given, another number.
    less = puzzles.copy()
    less[np.arange(50), puzzles.argmax(axis=1)] = 0
    assert (task.hashes(less) != task.hashes(puzzles)).all()


def test_the_number_of_a_sudoku_knows_rows_columns_and_boxes():
    task = Sudoku(9)
    puzzles = task.draw_some(2, 0, 20)[0]
    grids = puzzles.reshape(-1, 9, 9)
    same = (
        grids.swapaxes(1, 2),
        grids[:, [1, 0, *range(2, 9)]],
        grids[:, :, [*range(3, 9), *range(3)]],
    )
    for moved in same:
        moved = np.ascontiguousarray(moved).reshape(-1, 81)
        np.testing.assert_array_equal(task.hashes(moved), task.hashes(puzzles))
    # Rows of two bands exchanged: no image.
    moved = grids[:, [3, 1, 2, 0, *range(4, 9)]].reshape(-1, 81)
    assert (task.hashes(moved) != task.hashes(puzzles)).all()
    task = Sudoku(6)
    puzzles = task.draw_some(2, 0, 20)[0]
    turned = np.ascontiguousarray(puzzles.reshape(-1, 6, 6).swapaxes(1, 2)).reshape(-1, 36)
    assert (task.hashes(turned) != task.hashes(puzzles)).any()


def test_a_hard_sudoku_is_solved():
    puzzle, solution = map(array, HARD)
    counts, masks = count_solutions(to_masks(puzzle, 9), (3, 3))
    assert counts.tolist() == [1]
    np.testing.assert_array_equal(to_digits(masks), solution)
    more = puzzle.copy()
    more[0, 7] = 0
    assert count_solutions(to_masks(more, 9), (3, 3))[0].tolist() == [2]
    assert count_solutions(to_masks(more, 9), (3, 3), limit=5)[0].tolist() == [5]
    # Far fewer guesses than are allowed where a file gives the puzzle; with too few none is made
    # up.
    assert count_solutions(to_masks(puzzle, 9), (3, 3), guesses=3000)[0].tolist() == [1]
    assert count_solutions(to_masks(puzzle, 9), (3, 3), guesses=0)[0].tolist() == [-1]


def brute_force_length(maze):
    """Steps of the shortest way through a maze of symbols, by a plain search in width."""
    rows = maze.split("\n")
    at = {(y, x): s for y, row in enumerate(rows) for x, s in enumerate(row)}
    edge, seen, steps = [next(p for p, s in at.items() if s == "S")], set(), 0
    while edge:
        if any(at[place] == "G" for place in edge):
            return steps
        seen |= set(edge)
        beside = {(y + v, x + h) for y, x in edge for v, h in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        edge = [place for place in beside if at.get(place, "#") != "#" and place not in seen]
        steps += 1
    return None


@pytest.mark.parametrize(
    ("name", "loops"), [("maze-9x9", 0.0), ("maze-8x13", 0.0), ("maze-9x9", 0.3)]
)
def test_mazes_are_trees_and_answers_the_shortest_way(name, loops):
    task = make_task(name, loops=loops)
    puzzles, solutions = task.draw_some(1, 0, 60)
    cells = task.cells[0] * task.cells[1]
    passages = []
    for puzzle, solution in zip(puzzles, solutions, strict=True):
        rows = "\n".join(task.text(row) for row in puzzle.reshape(task.shape))
        way = task.text(solution)
        assert brute_force_length(rows) == way.count("o") + 1
        passages.append(cells * 2 - 1 - (puzzle != 1).sum())
    # A spanning tree has one passage less than cells.
    assert (np.array(passages) == 0).all() == (loops == 0.0)
    if loops:
        assert np.mean(passages) < -2


def test_small_answers_by_hand():
    sums = make_task("prefix-sums-8")
    assert sums.text(sums.answers(sums.symbols("01101001")[None])[0]) == "01001110"
    add = make_task("addition-3")
    puzzle = add.symbols(" " * 2 + "907" + "+  95" + "=????")
    assert add.text(add.solve(puzzle[None])[1][0])[10:] == "=1002"
    puzzles = add.draw_some(0, 0, 300)[0]
    for text in map(add.text, puzzles):
        lines = text[:5], text[5:10], text[10:]
        first, second = int(lines[0]), int(lines[1][1:])
        assert str(first) == lines[0].strip()
        assert str(second) == lines[1][1:].strip()
        assert lines[2] == "=????"
        found = add.text(add.solve(add.symbols(text)[None])[1][0])[11:]
        assert int(found) == first + second


def test_names_and_ranges_that_there_are_not():
    for name, words in (
        ("sudoku-5x5", "expected 4x4, 6x6, 9x9; received 5x5"),
        ("sudoku-4x6", "received 4x6"),
        ("maze-2x9", "expected 2 sizes from 3"),
        ("maze-9", "received 9"),
        ("prefix-sums-0", "a size from 1"),
        ("chess-8x8", "unknown puzzle 'chess-8x8'; known: sudoku-9x9"),
    ):
        with pytest.raises(MdnnError, match=words):
            make_task(name)
    for givens in ((3, 5), (5,), (7, 6), (8, 16)):
        with pytest.raises(MdnnError, match=r"givens of a sudoku-4x4: .* received \["):
            make_task("sudoku-4x4", givens)
    with pytest.raises(MdnnError, match=r"prefix-sums-1: .* draws gave a puzzle held out"):
        open_puzzles("prefix-sums-1", validation=1e-6).validation.different(10)
    with pytest.raises(MdnnError, match=r"expected a maze-9x9, .* received sudoku-9x9"):
        open_puzzles("sudoku-9x9", expected=make_name("maze-9x9"))
    with pytest.raises(MdnnError, match=r"expected a source of puzzles: .* received 'digits'"):
        open_puzzles("digits")


def make_name(name):
    from mdnn.tokens.symbols import PuzzleName

    return PuzzleName.of(name)


def test_of_a_small_task_there_are_as_many_tests_as_there_are():
    tests = open_puzzles("prefix-sums-6", validation=0.25).validation.different(1000)[0]
    assert 4 < len(tests) < 32


def test_puzzles_need_neither_keras_nor_matplotlib():
    code = (
        "import sys; import mdnn; mdnn.open_puzzles('sudoku-4x4').train.at(0, 4); "
        "import mdnn.datasets.puzzles.board_text; "
        "sys.exit('keras' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
