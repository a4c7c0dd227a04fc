"""JSON from files that others made: a key comes once, a number is finite, nesting has an end."""

import json
import math

from mdnn.errors import MdnnError
from mdnn.files import read_text

MOST = 1 << 26
"""Bytes that a JSON file of a run folder may have."""


def parse_json(text, where):
    """The value of a JSON text.

    Args:
        text: string.
        where: what errors call it.

    Raises:
        MdnnError: no JSON, a key that comes twice in an object, NaN or Infinity, too deep.
    """

    def once(pairs):
        table = dict(pairs)
        if len(table) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise MdnnError(f"{where}: the key {twice!r} comes twice in one object")
        return table

    def refuse(word):
        raise MdnnError(f"{where}: not JSON: {word} is no number")

    def finite(word):
        value = float(word)
        return value if math.isfinite(value) else refuse(word)

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse, parse_float=finite)
    except MdnnError:
        raise
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        raise MdnnError(f"{where}: not JSON: {error.msg}, at {place}") from None
    # Whole numbers of more than 4,300 digits, brackets in brackets in brackets.
    except (ValueError, RecursionError) as error:
        raise MdnnError(f"{where}: not JSON that can be read: {error}") from None


def read_json(path, most=MOST):
    """The value in a JSON file of at most so many bytes; errors are `MdnnError`s that name it."""
    return parse_json(read_text(path, most), path)
