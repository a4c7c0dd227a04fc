"""Builds, checks and orders the tokens of one item."""

import math

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.features import (
    BYTES,
    COORDINATES,
    ITEM,
    MAX_TOKEN_VALUE,
    MODALITY,
    NUM_FEATURES,
)


def checked_shape(modality, shape):
    """Checks the sizes of an item in tokens.

    Args:
        modality: `mdnn.tokens.modalities.Modality` of the item.
        shape: Integers, one per coordinate: `(h, w)` for a picture, `(n, h, w)` for a film,
            `(n,)` for a sound or a text; each at least 1, or 0 for a text.

    Returns:
        A tuple of ints.

    Raises:
        MdnnError: the number of sizes does not match the kind, or a size is out of range.
    """
    names, kind = modality.coordinates, modality.name
    sizes = tuple(shape) if np.ndim(shape) == 1 else (shape,)
    least = modality.least_size
    for size in sizes:
        if not isinstance(size, int | np.integer) or not least <= size <= MAX_TOKEN_VALUE:
            raise MdnnError(
                f"sizes of {kind}: expected integers from {least} to {MAX_TOKEN_VALUE}; "
                f"received {size!r}"
            )
    if len(sizes) != len(names):
        raise MdnnError(f"sizes of {kind}: expected ({', '.join(names)}); received {sizes}")
    return tuple(int(size) for size in sizes)


def new_tokens(modality, shape, number=0):
    """Builds the tokens of an item with coordinates in row-major order and zero bytes.

    Args:
        modality: `mdnn.tokens.modalities.Modality` of every token.
        shape: tuple of ints, checked by `checked_shape`.
        number: int, the column `item`.

    Returns:
        int32 `[n, 8]`, `n` the product of `shape`.

    Raises:
        MdnnError: `number` is out of range.
    """
    tokens = np.zeros((math.prod(shape), NUM_FEATURES), dtype=np.int32)
    tokens[:, MODALITY] = modality.index
    coordinates = np.indices(shape, dtype=np.int32)
    tokens[:, COORDINATES][:, : len(shape)] = coordinates.reshape(len(shape), -1).T
    tokens[:, ITEM] = checked_number(number)
    return tokens


def checked_number(number):
    """Returns an item number as an int.

    Raises:
        MdnnError: it is not an integer from 0 to 2,147,483,647.
    """
    if not isinstance(number, int | np.integer) or not 0 <= number <= MAX_TOKEN_VALUE:
        raise MdnnError(
            f"item number: expected an integer from 0 to {MAX_TOKEN_VALUE}; received {number!r}"
        )
    return int(number)


def check_bytes(tokens, modality, called):
    """Checks that the bytes of tokens are in the range of their modality.

    Columns of bytes that the modality does not use are not checked.

    Args:
        tokens: ints `[n, 8]`.
        modality: Their `mdnn.tokens.modalities.Modality`.
        called: str, the label in error messages.

    Raises:
        MdnnError: a byte is out of range; the message names the first one.
    """
    sizes = modality.bytes
    values = tokens[:, BYTES][:, : len(sizes)]
    wrong = (values < 0) | (values >= sizes)
    if wrong.any():
        token, byte = np.argwhere(wrong)[0]
        raise MdnnError(
            f"{called}: byte {byte + 1} of token {token}: expected 0 to {sizes[byte] - 1}, "
            f"received {values[token, byte]}"
        )


def arrangement(tokens, modality, called):
    """Derives the order and the sizes of a picture or film from its tokens' coordinates.

    Memory grows with the number of tokens only, so that huge coordinates allocate nothing.

    Args:
        tokens: ints `[n, 8]`, at least one token, in any order.
        modality: Their `mdnn.tokens.modalities.Modality`.
        called: str, the label in error messages.

    Returns:
        `(order, shape)`: int64 `[n]`, the indices of the tokens in row-major order, and a tuple,
        the sizes of the item.

    Raises:
        MdnnError: a coordinate is negative, repeated or missing; the message names it.
    """
    names = modality.coordinates
    coordinates = tokens[:, COORDINATES][:, : len(names)].astype(np.int64)

    def formatted(coordinate):
        return ", ".join(f"{name} {int(at)}" for name, at in zip(names, coordinate, strict=True))

    if coordinates.min() < 0:
        token = np.argwhere(coordinates < 0)[0, 0]
        raise MdnnError(
            f"{called}: expected coordinates from 0 on; received {formatted(coordinates[token])}"
        )
    # lexsort sorts by its last key first.
    order = np.lexsort(coordinates.T[::-1])
    coordinates = coordinates[order]
    repeated = (coordinates[1:] == coordinates[:-1]).all(axis=1)
    if repeated.any():
        first = formatted(coordinates[np.argmax(repeated)])
        raise MdnnError(f"{called}: two tokens at the coordinates {first}")
    shape = tuple(int(size) for size in coordinates.max(axis=0) + 1)
    if math.prod(shape) != len(tokens):
        expected = np.arange(len(tokens) + 1)
        columns = []
        for size in shape[:0:-1]:
            columns.append(expected % size)
            expected = expected // size
        expected = np.stack([expected, *columns[::-1]], axis=1)
        same = (coordinates == expected[:-1]).all(axis=1)
        missing = expected[len(tokens) if same.all() else np.argmin(same)]
        sizes = " x ".join(map(str, shape))
        raise MdnnError(
            f"{called}: no token at the coordinates {formatted(missing)}: "
            f"{len(tokens)} tokens of {sizes}"
        )
    return order, shape
