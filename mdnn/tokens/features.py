"""Defines the eight integers of a token and the table of modalities."""

from dataclasses import dataclass

from mdnn.errors import MdnnError

COLUMNS = ("modality", "byte_1", "byte_2", "byte_3", "place_1", "place_2", "place_3", "item")
"""Names of a token's integers. A token of zeros is padding."""

WIDTH = len(COLUMNS)
"""Number of integers in a token (8)."""

# Indices and slices for the last axis: tokens[..., BYTES].
MODALITY = COLUMNS.index("modality")
BYTES = slice(COLUMNS.index("byte_1"), COLUMNS.index("byte_3") + 1)
PLACES = slice(COLUMNS.index("place_1"), COLUMNS.index("place_3") + 1)
ITEM = COLUMNS.index("item")


@dataclass(frozen=True)
class Modality:
    """Describes one kind of token: its name, index, byte sizes and coordinates.

    Two modalities are special tokens. `blank` is the mask token: `byte_1` holds the index of the
    requested modality (0: the network decides); the coordinates and the item number are those of
    the token to predict, where they are known. `end` follows the last token of a context's items.

    Args:
        name: String, as used in configs and commands.
        index: Integer, the value of the column `modality`; 0 is padding.
        bytes: Tuple of at most three integers, the number of values of each byte, most significant
            first. `n` bytes fill the columns `byte_1` to `byte_n`; the other columns are 0.
        places: Integer, the number of coordinates (1 to 3; 0 for padding and `end`).
    """

    name: str
    index: int
    bytes: tuple[int, ...] = (17, 256, 256)
    places: int = 1


MODALITIES = (
    Modality("padding", 0, bytes=(), places=0),
    # Unicode's 1,114,112 code points: plane, row, cell
    Modality("text", 1, bytes=(17, 256, 256)),
    # a word of the tokenizer's table: high and low byte of its number
    Modality("word", 2, bytes=(256, 256)),
    # a pixel: red, green, blue; y, x
    Modality("image", 3, bytes=(256, 256, 256), places=2),
    Modality("grey", 4, bytes=(256,), places=2),
    # a pixel of a frame: t, y, x
    Modality("video", 5, bytes=(256, 256, 256), places=3),
    Modality("grey_video", 6, bytes=(256,), places=3),
    # a 16-bit sample plus 32,768: high byte, low byte
    Modality("audio", 7, bytes=(256, 256)),
    Modality("blank", 8, bytes=(16,), places=3),
    Modality("end", 9, bytes=(), places=0),
    # a puzzle symbol: its index in the puzzle's alphabet; y, x
    Modality("symbol", 10, bytes=(32,), places=2),
)
"""Every modality, in the order of its index."""

_NO_ITEMS = ("padding", "blank", "end", "symbol")
UNITS = tuple(row.name for row in MODALITIES if row.name not in _NO_ITEMS)
"""Names of the modalities that items are made of."""


def modality(name):
    """Looks up a modality by name.

    Args:
        name: String, one of the names in `MODALITIES`.

    Returns:
        A `Modality`.

    Raises:
        MdnnError: If no modality has this name.

    Example:

    >>> modality("text").bytes
    (17, 256, 256)
    """
    for row in MODALITIES:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in MODALITIES)
    raise MdnnError(f"unknown modality {name!r}; known: {known}")
