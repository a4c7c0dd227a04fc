"""Token rows of one item: made from a shape, checked, put back in order by their places."""

import math

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table

COORDINATES = {0: (), 1: ("offset",), 2: ("y", "x"), 3: ("t", "y", "x")}
"""Names of a unit's coordinates, by how many there are."""

LARGEST = 2**31 - 1
"""What a column of a token row can hold, int32."""


def unit_shape(kind, shape):
    """Checks the sizes of an item, counted in units.

    Args:
        kind: String, the modality of the item's units.
        shape: Integers, one per coordinate: `(h, w)` for a picture, `(n, h, w)` for a film,
            `(n,)` for a sound or a text; at least 1 each, a text may have 0.

    Returns:
        A tuple of integers.

    Raises:
        MdnnError: Another number of sizes, or a size that no place can reach.
    """
    names = COORDINATES[table.modality(kind).places]
    sizes = tuple(shape) if np.ndim(shape) == 1 else (shape,)
    least = 0 if kind == "text" else 1
    for size in sizes:
        if not isinstance(size, int | np.integer) or not least <= size <= LARGEST:
            raise MdnnError(
                f"sizes of {kind} are integers from {least} to {LARGEST}; received {size!r}"
            )
    if len(sizes) != len(names):
        raise MdnnError(f"sizes of {kind} are those of ({', '.join(names)}); received {sizes}")
    return tuple(int(size) for size in sizes)


def new_rows(kind, shape, number=0):
    """Returns rows whose bytes are zeros, in row-major order of their places.

    Args:
        kind: String, the modality of every row.
        shape: Tuple of integers, as `unit_shape` gives it.
        number: Integer, the column `item`.

    Returns:
        int32 `[n, 8]`, `n` the product of `shape`.

    Raises:
        MdnnError: If `number` is no item's number.
    """
    rows = np.zeros((math.prod(shape), table.WIDTH), dtype=np.int32)
    rows[:, table.MODALITY] = table.modality(kind).index
    places = np.indices(shape, dtype=np.int32)
    rows[:, table.PLACES][:, : len(shape)] = places.reshape(len(shape), -1).T
    rows[:, table.ITEM] = checked_number(number)
    return rows


def checked_number(number):
    """Returns an item's number.

    Raises:
        MdnnError: Anything but an integer from 0 to 2,147,483,647.
    """
    if not isinstance(number, int | np.integer) or not 0 <= number <= LARGEST:
        raise MdnnError(f"an item's number is an integer from 0 to {LARGEST}; received {number!r}")
    return int(number)


def check_bytes(rows, kind, called):
    """Checks that rows hold bytes that their modality has; the columns beyond are not read.

    Args:
        rows: Integers `[n, 8]`.
        kind: String, their modality.
        called: String, what the error calls the item.

    Raises:
        MdnnError: Naming the first byte that is out of range.
    """
    sizes = table.modality(kind).bytes
    values = rows[:, table.BYTES][:, : len(sizes)]
    wrong = (values < 0) | (values >= sizes)
    if wrong.any():
        row, byte = np.argwhere(wrong)[0]
        raise MdnnError(
            f"{called}: byte {byte + 1} of unit {row} is from 0 to {sizes[byte] - 1}; "
            f"received {values[row, byte]}"
        )


def arrangement(rows, kind, called):
    """Returns how rows of a picture or film lie in it, by their places alone.

    Nothing is allocated but what goes with the number of rows: a place may be any number.

    Args:
        rows: Integers `[n, 8]`, at least one, in any order.
        kind: String, their modality.
        called: String, what the error calls the item.

    Returns:
        `(order, shape)`: int64 `[n]`, the rows' numbers in row-major order, and the sizes of
        the item, a tuple.

    Raises:
        MdnnError: Naming a place that is negative, taken twice or missing.
    """
    names = COORDINATES[table.modality(kind).places]
    places = rows[:, table.PLACES][:, : len(names)].astype(np.int64)

    def spelled(place):
        return ", ".join(f"{name} {int(at)}" for name, at in zip(names, place, strict=True))

    if places.min() < 0:
        row = np.argwhere(places < 0)[0, 0]
        raise MdnnError(f"{called}: a place is not negative; received {spelled(places[row])}")
    # the last key is the first to sort by
    order = np.lexsort(places.T[::-1])
    places = places[order]
    twice = (places[1:] == places[:-1]).all(axis=1)
    if twice.any():
        raise MdnnError(f"{called}: two units at the place {spelled(places[np.argmax(twice)])}")
    shape = tuple(int(size) for size in places.max(axis=0) + 1)
    if math.prod(shape) != len(rows):
        expected = np.arange(len(rows) + 1)
        columns = []
        for size in shape[:0:-1]:
            columns.append(expected % size)
            expected = expected // size
        expected = np.stack([expected, *columns[::-1]], axis=1)
        same = (places == expected[:-1]).all(axis=1)
        missing = expected[len(rows) if same.all() else np.argmin(same)]
        sizes = " x ".join(map(str, shape))
        raise MdnnError(
            f"{called}: no unit at the place {spelled(missing)}: {len(rows)} units of {sizes}"
        )
    return order, shape
