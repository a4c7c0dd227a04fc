"""What a unit is: the table of modalities and the columns of a token row."""

from dataclasses import dataclass

from mdnn.errors import MdnnError

COLUMNS = ("modality", "byte_1", "byte_2", "byte_3", "place_1", "place_2", "place_3", "item")
"""Names of a token row's columns. A row of zeros is padding."""

WIDTH = len(COLUMNS)
"""Columns of a token row (8)."""

# columns and ranges of columns, for indexing: tokens[..., BYTES]
MODALITY = COLUMNS.index("modality")
BYTES = slice(COLUMNS.index("byte_1"), COLUMNS.index("byte_3") + 1)
PLACES = slice(COLUMNS.index("place_1"), COLUMNS.index("place_3") + 1)
ITEM = COLUMNS.index("item")


@dataclass(frozen=True)
class Modality:
    """One kind of unit.

    Two kinds stand for no unit of an item. `blank` is a position whose unit is asked for: its
    `byte_1` is the index of the modality that is wanted, 0 where the network is to decide, and
    its places and item, where known, are those of the unit that is to come. `end` follows the
    last unit of a context's items.

    Args:
        name: The name that configs and commands use.
        index: Value of the column `modality`; 0 is padding.
        bytes: Sizes of the unit's bytes, most significant first, at most three. A unit of
            `n` bytes fills the columns `byte_1` to `byte_n`, the others are 0.
        places: Number of coordinates of a unit in its item (1 to 3; 0 for padding).
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
    # a position of a puzzle: the place of its symbol in the task's alphabet; y, x
    Modality("symbol", 10, bytes=(32,), places=2),
)
"""Every modality, in the order of its index."""

_NO_ITEMS = ("padding", "blank", "end", "symbol")
UNITS = tuple(row.name for row in MODALITIES if row.name not in _NO_ITEMS)
"""Names of the modalities that items are made of."""


def modality(name):
    """Returns the modality of a name.

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
