"""Reads and writes the item statistics of a run folder (see `Run.item_statistics`)."""

import json
from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.strict_json import read_json
from mdnn.tokens.modalities import item_kinds, modality

ITEMS = "item_statistics.json"


def write_item_statistics(path, seen):
    """Writes the item statistics of a run folder (see `Run.item_statistics`)."""
    write_text(Path(path) / ITEMS, json.dumps(seen))


def read_item_statistics(path):
    """Reads the item statistics of a run folder (see `Run.item_statistics`).

    Raises:
        MdnnError: the file does not exist or is invalid.
    """
    file = Path(path) / ITEMS
    seen = read_json(file)
    try:
        longest = {_kind(kind): _size(count) for kind, count in seen["longest"].items()}
        shapes = {
            _kind(kind): [_shape(kind, shape) for shape in shapes]
            for kind, shapes in seen["shapes"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise MdnnError(f"{file}: expected the longest items and the shapes of each kind") from None
    return {"longest": longest, "shapes": shapes}


def _size(number):
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**40:
        raise ValueError(number)
    return number


def _shape(kind, shape):
    if len(shape) != len(modality(kind).coordinates):
        raise ValueError(shape)
    return tuple(map(_size, shape))


def _kind(name):
    if name not in item_kinds():
        raise KeyError(name)
    return name
