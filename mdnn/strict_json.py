"""Parses untrusted JSON: refuses duplicate keys, non-finite numbers and deep nesting."""

import json
import math
import re

import numpy as np

from mdnn.errors import MdnnError
from mdnn.files import read_small_text

MAX_JSON_BYTES = 1 << 26
"""Largest size in bytes of a JSON file in a run folder."""

MAX_NESTING = 500
"""Lists and objects within one another. Python's own limit differs: 990 in 3.11 and 3.12, 10,000 in
3.13, where other recursive functions fail before it."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')


def parse_json(text, where):
    """Parses a JSON text.

    Args:
        text: str.
        where: the name of the text in errors.

    Returns:
        The parsed value.

    Raises:
        MdnnError: the text is not JSON, an object has a duplicate key, a number is NaN or infinite,
            or the nesting is too deep.
    """

    check_nesting(text, where)

    def once(pairs):
        table = dict(pairs)
        if len(table) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise MdnnError(f"{where}: the key {twice!r} occurs twice in one object")
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


def check_nesting(text, where):
    """Refuses JSON that is nested deeper than `MAX_NESTING`.

    Args:
        text: str; it need not be valid.
        where: the name of the text in errors.

    Raises:
        MdnnError: the nesting is too deep.
    """
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return
    # First as if there were no strings, which may hold brackets: fast for large texts.
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    change = np.isin(data, list(b"[{")).astype(np.int8) - np.isin(data, list(b"]}"))
    if np.cumsum(change, dtype=np.int32).max() <= MAX_NESTING:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += match[0] in "[{"
        depth -= match[0] in "]}"
        if depth > MAX_NESTING:
            raise MdnnError(f"{where}: not JSON that can be read: nested deeper than {MAX_NESTING}")


def read_json(path, most=MAX_JSON_BYTES):
    """Parses a JSON file of at most `most` bytes; raises `MdnnError` naming the file."""
    return parse_json(read_small_text(path, most), path)
