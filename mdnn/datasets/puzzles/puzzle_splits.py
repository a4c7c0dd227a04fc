"""Opens a source of puzzles as a training and a validation split."""

import os
from dataclasses import dataclass

from mdnn.datasets.puzzles.addition import Addition
from mdnn.datasets.puzzles.cases import DrawnCases, ReadCases, held_out
from mdnn.datasets.puzzles.maze import Maze
from mdnn.datasets.puzzles.prefix_sums import PrefixSums
from mdnn.datasets.puzzles.puzzle import Puzzle
from mdnn.datasets.puzzles.puzzle_files import read_puzzles
from mdnn.datasets.puzzles.sudoku import Sudoku
from mdnn.errors import MdnnError
from mdnn.tokens.symbols import KNOWN, PuzzleName, puzzle_source

# Seed of the held-out cases, the same for every training seed.
TEST_SEED = 0


@dataclass(frozen=True, eq=False)
class PuzzleSplits:
    """Holds the training and validation cases of a source.

    Args:
        source: str, the argument of `open_puzzles`.
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        train: `DrawnCases` or `ReadCases`, the training cases.
        validation: `DrawnCases` or `ReadCases`, the held-out cases.
    """

    source: str
    task: Puzzle
    train: DrawnCases | ReadCases
    validation: DrawnCases | ReadCases

    def contents(self):
        """Yields the arrays read from files, for `mdnn.datasets.fingerprint.fingerprint`.

        Generated puzzles depend only on the config and are not included.
        """
        for side in (self.train, self.validation):
            if isinstance(side, ReadCases):
                yield side.puzzles
                yield side.solutions


def make_task(name, givens=(), loops=0.0):
    """Builds the `Puzzle` of a name.

    Args:
        name: `PuzzleName`, or a string such as `"sudoku-6x6"`.
        givens: Minimum and maximum number of givens of a sudoku; empty for the size's default.
        loops: float, the share of a maze's walls that are opened.

    Raises:
        MdnnError: the name is unknown.
    """
    named = name if isinstance(name, PuzzleName) else PuzzleName.of(name)
    if named is None:
        raise MdnnError(f"unknown puzzle {name!r}; known: {KNOWN}")
    if named.kind == "sudoku":
        return Sudoku(named.sizes[0], givens)
    if named.kind == "maze":
        return Maze(*named.sizes, loops)
    return {"prefix-sums": PrefixSums, "addition": Addition}[named.kind](*named.sizes)


def open_puzzles(
    source, validation=0.1, seed=0, givens=(), loops=0.0, expected=None, encoding="utf-8"
):
    """Opens a source of puzzles.

    The split depends on the hashes of the puzzles (see `mdnn.datasets.puzzles.cases.held_out`):
    no seed draws a held-out puzzle for training.

    Args:
        source: str or path, as in `mdnn.tokens.symbols.puzzle_source`.
        validation: float from 0 to 1, the share of held-out puzzles. With a file, 0 puts all
            puzzles in both splits, to evaluate on the whole file.
        seed: int, seed of the training cases.
        givens, loops: As in `make_task`; ignored for files.
        expected: `PuzzleName` of the network's puzzles, or `None`. Other kinds are refused; it is
            the default kind of a file.
        encoding: str, the encoding of a file.

    Returns:
        A `PuzzleSplits`.

    Raises:
        MdnnError: the source is invalid, its puzzles are of another kind than expected, or a
            split is empty.

    Example:

    >>> splits = open_puzzles("sudoku-6x6", seed=1)
    >>> puzzles, solutions = splits.train.at(step=0, number=64)
    >>> tests = splits.validation.different(1000)
    """
    source = os.fspath(source)
    name, path = puzzle_source(source)
    if name is None and path is None:
        raise MdnnError(
            f"expected a source of puzzles: {KNOWN}, one of them and a file (sudoku-9x9:FILE) or a "
            f"file of sudokus (FILE.csv); received {source!r}"
        )
    if None not in (name, expected) and name.kind != expected.kind:
        raise MdnnError(
            f"expected a {expected}, the puzzle that the network was built for; received {name}"
        )
    if path is None:
        task = make_task(name, givens, loops)
        train = DrawnCases(task, seed, validation)
        return PuzzleSplits(source, task, train, DrawnCases(task, TEST_SEED, validation, held=True))
    task, puzzles, solutions = read_puzzles(path, name or expected, make_task, encoding)
    if not validation:
        return PuzzleSplits(source, task, *[ReadCases(task, puzzles, solutions, seed)] * 2)
    is_held_out = held_out(task, puzzles, validation)
    if is_held_out.all() or not is_held_out.any():
        raise MdnnError(
            f"{path}: {len(puzzles)} puzzles split into {(~is_held_out).sum()} to train on and "
            f"{is_held_out.sum()} held out; each side needs at least one"
        )
    return PuzzleSplits(
        source,
        task,
        *(
            ReadCases(task, puzzles[side], solutions[side], seed)
            for side in (~is_held_out, is_held_out)
        ),
    )
