"""The tables of a config that say what a network is given: sources, tokens, the context."""

import dataclasses
import math

from mdnn.config.schema import option


@dataclasses.dataclass(frozen=True)
class Augment:
    """How much the items of a prompt are changed at random in training (layout "items")."""

    # Sounds: up to e^speed times faster or slower; down to e^-volume as loud; noise up to so
    # many steps of a 16-bit sample.
    speed: float = option(0.0, least=0.0, most=1.0)
    volume: float = option(0.0, least=0.0, most=10.0)
    noise: float = option(0.0, least=0.0, most=32_767.0)
    # Pictures: up to so many pixels up or down, left or right.
    shift: int = option(0, least=0, most=1024)


@dataclasses.dataclass(frozen=True)
class Data:
    """Where units come from, and what validates.

    A stream's source is `python-docs`, a path, or `tfds:NAME`, and its last part validates. A
    source of items is `digits`, a folder with a manifest, or `tfds:NAME`; a share of the items
    validates, chosen by `seed`. A source of puzzles is a task such as `sudoku-6x6`, `maze-9x9`,
    `prefix-sums-32` or `addition-20`, one of these and a file (`maze-9x9:FILE`), or a file of
    sudokus (`FILE.csv`); a share of all puzzles validates, chosen by their hashes alone.
    """

    source: str = "python-docs"
    validation: float = option(0.1, least=0.0, most=0.9)
    # The encoding of text files as Python names it: "utf-8", "cp1252", "utf-16", ...
    encoding: str = "utf-8"
    # Whether pictures and sounds are converted where that loses something: transparent pixels are
    # laid over white, 16 bit rounded to 8, CMYK made RGB, colours made grey where only grey is
    # taken, channels swapped_in, samples rounded to 16 bit.
    convert: bool = False
    # Items of one manifest line in a context: "given": all, in their order; "any": all, in a
    # random order; "pairs": two of different kinds, in a random order. The last is the answer.
    order: str = option("given", choices=("given", "any", "pairs"))
    # Whether an item that does not fit its context is cut; otherwise it is an error.
    truncate: bool = False
    # Fewest and most givens of a sudoku; empty: its size's own range.
    givens: tuple[int, ...] = option((), least=1)
    # The share of the walls that are opened once a maze's tree is there.
    loops: float = option(0.0, least=0.0, most=0.5)
    # Puzzles that are held out and tested on, at most.
    validation_size: int = option(1000, least=1)
    augment: Augment = option(factory=Augment)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """How units become tokens and are embedded."""

    modalities: tuple[str, ...] = ("text",)
    # "full": the paper's own tables, 1,114,112 rows for text and 65,536 for sound; "bits": each
    # unit's bits as -1 and 1, neither table nor head.
    table: str = option("bytes", choices=("bytes", "full", "bits"))
    # "full": the paper's own heads, 1,114,112 classes for text and 65,536 for sound.
    heads: str = option("bytes", choices=("bytes", "full"))
    # "ordered": tables of pixels and sounds start as smooth functions of the byte.
    table_init: str = option("random", choices=("random", "ordered"))
    # Words of the training text that get a position of their own (0: none), with letters added.
    words: int = option(0, least=0, most=65_536)
    letters: int = option(16, least=1, most=64)
    coordinates: bool = False
    base: int = option(32, least=2, most=1024)
    digits: int = option(6, least=1, most=32)
    # Whether a table of item numbers is added to the embedding.
    items: bool = False
    # Whether the heads decide each unit's place, too, digit by digit.
    answer_coordinates: bool = False
    # Puzzles: an axis of so many fields before the grid's, one for each symbol that can be put
    # into a position, with vectors of its own; 0: none.
    candidates: int = option(0, least=0, most=31)
    # Samples per second of sounds; others are resampled.
    sample_rate: int = option(8000, least=100, most=192_000)


DEFAULT_AXES = ("column", "row", "plane")
"""Names of a grid's axes where the config gives none, from the fastest on."""


@dataclasses.dataclass(frozen=True)
class Context:
    """The grid of positions, slowest axis first."""

    grid: tuple[int, ...] = option((64,), least=1)
    # Names of the grid's axes, for mixers' `axes` and in the names of weights; empty: "row",
    # "column" and so on.
    axes: tuple[str, ...] = ()
    # "random": items of random length behind a random run of padding, as in the paper.
    padding: str = option("none", choices=("none", "random"))
    # The task (see mdnn.tasks). "stream": windows of a text; "items": whole items one after
    # another, then an end; "puzzle": the grid of a puzzle, each position of which answers its own
    # symbol; or the name of a registered task.
    layout: str = "stream"
    # Every item begins at a multiple of so many positions (layout "items"). Where rows are folded,
    # one
    # row: without a bias a row of padding hands nothing on, so that in turn the first row of an
    # answer behind it would not see what was asked.
    pad_to_multiple_of: int = option(1, least=1)

    @property
    def axis_names(self):
        """Returns the names of the grid's axes, slowest first.

        Where the config leaves them out they are counted from the fastest axis on, so that a
        slower axis that is added renames nothing: `"column"`, `"row"`, `"plane"`, `"axis_4"`, ...
        """
        if self.axes:
            return self.axes
        rank = len(self.grid)
        names = [*DEFAULT_AXES, *(f"axis_{n}" for n in range(len(DEFAULT_AXES) + 1, rank + 1))]
        return tuple(reversed(names[:rank]))

    @property
    def positions(self):
        """Returns the number of positions of a context."""
        return math.prod(self.grid)
