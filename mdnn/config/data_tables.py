"""Config tables of the input: data sources, tokens and the context."""

import dataclasses
import math

from mdnn.config.embedding_table import EmbeddingSizes
from mdnn.config.schema import option
from mdnn.tokens.spectrum import Spectrum


@dataclasses.dataclass(frozen=True)
class Augment:
    """Random changes of items in training (layout "items"): of prompts, and of some answers."""

    # Sounds: speed changed by a factor of up to e^speed, volume reduced down to a factor of
    # e^-volume, noise of up to this many 16-bit sample steps.
    speed: float = option(0.0, least=0.0, most=1.0)
    volume: float = option(0.0, least=0.0, most=10.0)
    noise: float = option(0.0, least=0.0, most=32_767.0)
    # Sounds: silence before them of up to this many samples.
    offset: int = option(0, least=0, most=1 << 20)
    # Pictures: shift in pixels, at most this many vertically and horizontally.
    shift: int = option(0, least=0, most=1024)
    # Kinds of items, such as "spectrum", that change as answers, too, though in neither volume
    # nor noise.
    answers: tuple[str, ...] = ()
    # Autoregressive training: up to this share of an answer's tokens are read as mask tokens, in
    # half of the contexts, so that the prompt tells more than the tokens before.
    mask: float = option(0.0, least=0.0, most=1.0)


@dataclasses.dataclass(frozen=True)
class MixedSource:
    """A further text, from which a share of the training windows is drawn (layout "stream")."""

    # As data.source; its last part, data.validation, is left out.
    source: str
    share: float = option(0.1, least=0.001, most=0.999)


@dataclasses.dataclass(frozen=True)
class Data:
    """The data source and its validation split.

    - Layout "stream": `python-docs`, a path, or `tfds:NAME`. The last part of the text is the
      validation split.
    - Layout "chat": a file of conversations (JSON lines). The last ones are the validation split.
    - Layout "items": `digits`, a folder with a manifest, or `tfds:NAME`. The validation split is
      a share of the items, chosen by `seed`.
    - Layout "puzzle": a puzzle such as `sudoku-6x6`, `maze-9x9`, `prefix-sums-32` or
      `addition-20`; a puzzle with a file (`maze-9x9:FILE`); or a file of sudokus (`FILE.csv`). The
      validation split is a share of all puzzles, chosen only by their hashes.
    - Layout "recall": with `recall.kind` "needle" or "passages" a text, as with "stream"; the other
      kinds draw their contexts and have no source.
    """

    source: str = "python-docs"
    # Further texts to train on, beside `source`: such as what a network that is fine-tuned was
    # trained on before, so that it does not forget it.
    mix: tuple[MixedSource, ...] = ()
    validation: float = option(0.1, least=0.0, most=0.9)
    # Encoding of text files, a Python name: "utf-8", "cp1252", "utf-16", ...
    encoding: str = "utf-8"
    # Whether to read a text file piece by piece into a memory map (a temporary file of 4 bytes for
    # each character), for files larger than memory; tokens are then characters.
    memory_map: bool = False
    # Whether to allow lossy conversion of pictures and sounds: transparent pixels over white,
    # 16-bit pictures to 8 bits, CMYK to RGB, color to grey if only grey is accepted, several
    # channels of sound to their average, samples to 16 bits.
    convert: bool = False
    # Items of one manifest line in a context: "given": all, in the given order; "any": all, in
    # random order; "pairs": two of different kinds, in random order. The last one is the answer.
    order: str = option("given", choices=("given", "any", "pairs"))
    # Whether to truncate an item that does not fit its context; otherwise it is an error.
    truncate: bool = False
    # Smallest and largest number of givens of a sudoku; empty: the default range of its size.
    givens: tuple[int, ...] = option((), least=1)
    # Share of the walls between cells of a maze that are opened after its tree is drawn.
    loops: float = option(0.0, least=0.0, most=0.5)
    # Largest number of puzzles to validate on, unless they come from a file.
    validation_size: int = option(1000, least=1)
    augment: Augment = option(factory=Augment)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The vocabulary of tokens, their embedding and their heads."""

    modalities: tuple[str, ...] = ("text",)
    # "full": the paper's tables, 1,114,112 rows for text and 65,536 for sound; "bits": the bits
    # of each token as -1 and 1, without table and head.
    table: str = option("bytes", choices=("bytes", "full", "bits"))
    # "full": the paper's heads, 1,114,112 classes for text and 65,536 for sound.
    heads: str = option("bytes", choices=("bytes", "full"))
    # Channels of each modality's tables, where they are not the stream's.
    embedding_size: EmbeddingSizes = option(factory=lambda: EmbeddingSizes.registered()())
    # "ordered": initialize tables of pixels and sounds as smooth functions of the byte.
    table_init: str = option("random", choices=("random", "ordered"))
    # Number of words of the training text with a token of their own (0: none), and largest number
    # of letters of a word that its embedding adds.
    words: int = option(0, least=0, most=65_536)
    letters: int = option(16, least=1, most=64)
    # Size of the vocabulary of subwords (0: none); the modality is then "subword" alone. "bytes":
    # byte-level BPE; "sentencepiece": BPE over characters with bytes for rare ones.
    subwords: int = option(0, least=0, most=1 << 20)
    subword_kind: str = option("bytes", choices=("bytes", "sentencepiece"))
    # Share of the merges that are left out of each of 8 further encodings of the training text,
    # from which windows are drawn, too: a short text is then not learned by heart as soon.
    subword_dropout: float = option(0.0, least=0.0, most=0.9)
    # Whether the table of subwords is also the kernel of their head.
    tied: bool = False
    coordinates: bool = False
    base: int = option(32, least=2, most=1024)
    digits: int = option(6, least=1, most=32)
    # Whether the embedding adds a table of item numbers.
    items: bool = False
    # Whether the heads also decide each token's coordinates, digit by digit.
    answer_coordinates: bool = False
    # Puzzles: size of an axis of candidates before the axes of the grid, one candidate per symbol
    # that can fill a position, each with its own vector; 0: no such axis.
    candidates: int = option(0, least=0, most=31)
    # Sample rate of sounds in Hz; sounds of other rates are resampled.
    sample_rate: int = option(8000, least=100, most=192_000)
    # Modality "spectrum": the grid that a sound becomes.
    spectrum: Spectrum = option(factory=Spectrum)


DEFAULT_AXES = ("column", "row", "plane")
"""Default names of a grid's axes, fastest axis first."""


@dataclasses.dataclass(frozen=True)
class Context:
    """The grid of positions, slowest axis first."""

    grid: tuple[int, ...] = option((64,), least=1)
    # Names of the grid's axes, used in mixers' `axes` and in the names of weights; empty: "row",
    # "column" and so on.
    axes: tuple[str, ...] = ()
    # "random": text windows of random length, or items, after random padding, as in the paper.
    padding: str = option("none", choices=("none", "random"))
    # The task (see mdnn.tasks). "stream": windows of a text; "chat": conversations; "items": whole
    # items in sequence, then an end token; "puzzle": the grid of a puzzle, each position predicting
    # its own symbol; "recall": contexts whose answers repeat their earlier entries; or the name of
    # a registered task.
    layout: str = "stream"
    # Every item starts at a multiple of this many positions (layout "items"). With `fold` layers
    # use the row length: a fold without bias passes nothing through a row of padding, so that in
    # autoregressive decoding the first row of the answer after it would not see the prompt.
    pad_to_multiple_of: int = option(1, least=1)
    # The first positions of a context that hold learned vectors in place of tokens (layout
    # "stream"): those of an identity that was merged (`mdnn adapt --slots`), or trained with all
    # other weights.
    slots: int = option(0, least=0, most=255)

    @property
    def axis_names(self):
        """Returns the names of the grid's axes, slowest first.

        Default names count from the fastest axis, so that adding a slower axis renames no other:
        `"column"`, `"row"`, `"plane"`, `"axis_4"`, ...
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

    @property
    def text_positions(self):
        """Returns the number of positions that learned slots leave to a text."""
        return self.positions - self.slots
