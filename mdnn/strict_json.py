"""Parses untrusted JSON: refuses duplicate keys, non-finite numbers and deep nesting."""

import json
import math

from mdnn.errors import MdnnError
from mdnn.files import read_text

MAX_JSON_BYTES = 1 << 26
"""Largest size in bytes of a JSON file in a run folder."""


def parse_json(text, where):
    """Parses a JSON text.

    Args:
        text: string.
        where: the name of the text in errors.

    Returns:
        The parsed value.

    Raises:
        MdnnError: the text is not JSON, an object has a duplicate key, a number is NaN or infinite,
            or the nesting is too deep.
    """

    def once(pairs):
        table = dict(pairs)
        if len(table) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise MdnnError(f"{where}: the key {twice!r} comes twice in one object")
        return table

    def refuse(word):
        raise MdnnError(f"{where}: not JSON: {word} is not a number")

    def finite(word):
        value = float(word)
        return value if math.isfinite(value) else refuse(word)

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse, parse_float=finite)
    except MdnnError:
        raise
    except json.JSONDecodeError as error:
        position = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        raise MdnnError(f"{where}: not JSON: {error.msg}, at {position}") from None
    # ValueError: integers of more than 4,300 digits. RecursionError: deep nesting.
    except (ValueError, RecursionError) as error:
        raise MdnnError(f"{where}: not JSON that can be read: {error}") from None


def read_json(path, most=MAX_JSON_BYTES):
    """Parses a JSON file of at most `most` bytes; raises `MdnnError` naming the file."""
    return parse_json(read_text(path, most), path)
