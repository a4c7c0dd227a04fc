"""A source of puzzles made ready: cases to train on, and those that are held out."""

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

# The seed of held out cases: whatever a network is trained with, it is tested on the same ones.
TEST_SEED = 0


@dataclass(frozen=True, eq=False)
class PuzzleCorpus:
    """A source's cases on two sides.

    Args:
        source: String, what `open_puzzles` was asked for.
        task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        train: `DrawnCases` or `ReadCases` to train on.
        held: The same, of the puzzles that are held out.
    """

    source: str
    task: Puzzle
    train: DrawnCases | ReadCases
    held: DrawnCases | ReadCases

    def contents(self):
        """Yields what was read, for `mdnn.datasets.fingerprint.fingerprint`.

        Drawn puzzles follow from the config alone.
        """
        for side in (self.train, self.held):
            if isinstance(side, ReadCases):
                yield side.puzzles
                yield side.solutions


def make_task(name, givens=(), loops=0.0):
    """Returns the `Puzzle` of a name.

    Args:
        name: `PuzzleName`, or a string such as `"sudoku-6x6"`.
        givens: Fewest and most givens of a sudoku; empty for its size's own.
        loops: Float, the share of a maze's walls that are opened.

    Raises:
        MdnnError: If there is no such task.
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

    Which puzzles are held out is decided by the puzzles' hashes (see
    `mdnn.datasets.puzzles.cases.held_out`): no seed draws a held out puzzle for training.

    Args:
        source: As `mdnn.tokens.symbols.puzzle_source` takes it.
        validation: Float from 0 to 1, the share of the puzzles that is held out. Of a file 0 puts
            all on both sides, to evaluate on all of it.
        seed: Integer, of the cases to train on.
        givens, loops: As of `make_task`; of a file they say nothing.
        expected: `PuzzleName` of the puzzles that a network was built for, or `None`; other kinds
            are refused, and a file that does not say its kind is taken to be of this one.
        encoding: String, the encoding of a file.

    Returns:
        A `PuzzleCorpus`.

    Raises:
        MdnnError: If there is no such source, its puzzles are of another kind than expected, or
            nothing is left on a side.

    Example:

    >>> corpus = open_puzzles("sudoku-6x6", seed=1)
    >>> puzzles, solutions = corpus.train.at(step=0, number=64)
    >>> tests = corpus.held.different(1000)
    """
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
        return PuzzleCorpus(source, task, train, DrawnCases(task, TEST_SEED, validation, held=True))
    task, puzzles, solutions = read_puzzles(path, name or expected, make_task, encoding)
    if not validation:
        return PuzzleCorpus(source, task, *[ReadCases(task, puzzles, solutions, seed)] * 2)
    held = held_out(task, puzzles, validation)
    if held.all() or not held.any():
        raise MdnnError(
            f"{path}: {len(puzzles)} puzzles split into {(~held).sum()} to train on and "
            f"{held.sum()} held out; each side needs at least one"
        )
    return PuzzleCorpus(
        source,
        task,
        *(ReadCases(task, puzzles[side], solutions[side], seed) for side in (~held, held)),
    )
