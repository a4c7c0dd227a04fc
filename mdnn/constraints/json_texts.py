"""The texts of JSON: characters of strings, lists and objects, fixed values."""

import json

from mdnn.constraints.expressions import (
    EMPTY,
    LAST,
    NOTHING,
    Chars,
    Choice,
    Repeat,
    Sequence,
    chars,
    choice,
    is_nothing,
    literal_expression,
    optional,
    sequence,
)
from mdnn.errors import MdnnError

COMMA, COLON = (
    sequence(",", optional(literal_expression(" "))),
    sequence(":", optional(literal_expression(" "))),
)
_HEX = chars([(48, 57), (65, 70), (97, 102)])
_ESCAPE = sequence(
    "\\",
    choice(
        chars([(ord(c), ord(c)) for c in '"\\/bfnrt']),
        # Code points but surrogates, which no text has.
        sequence(
            "u",
            choice(
                sequence(chars([(48, 57), (65, 67), (69, 70), (97, 99), (101, 102)]), _HEX),
                sequence(chars([(68, 68), (100, 100)]), chars([(48, 55)])),
            ),
            _HEX,
            _HEX,
        ),
    ),
)
_PLAIN = chars([(0x20, 0x21), (0x23, 0x5B), (0x5D, LAST)])
CHARACTER = choice(_PLAIN, _ESCAPE)
"""A character of a JSON string, as it is or escaped."""

STRING = sequence('"', Repeat(CHARACTER), '"')
"""Any JSON string."""

_DATE = (
    r"[1-9]\d{3}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    r"|02-(0[1-9]|1\d|2[0-8]))"
)
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "email": r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}",
    "ipv4": r"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)",
}
"""Regular expressions of the formats of strings that are checked; others are annotations."""


def json_literal(value, where):
    """Returns the expression of one JSON value; raises `MdnnError` for values that JSON lacks."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return literal_expression(text)
    except (ValueError, TypeError):
        raise MdnnError(f"{where}: expected values of JSON") from None


def listed(start, item, end, least=0, most=None):
    """Returns items between two characters, separated by commas.

    Args:
        start, end: str, the characters.
        item: expression of an item.
        least, most: int, numbers of items; `None` for no largest number.
    """
    if is_nothing(item) or most == 0:
        return NOTHING if least else sequence(start, end)
    more = Repeat(sequence(COMMA, item), max(0, least - 1), None if most is None else most - 1)
    some = sequence(item, more)
    return sequence(start, some if least else optional(some), end)


def members_expression(members):
    """Returns the members of an object in order, commas between those that are there.

    Args:
        members: list of pairs of a member's expression and whether it is required.
    """
    # What follows once a member was written, and before one was.
    after, before = EMPTY, EMPTY
    for member, required in reversed(members):
        if is_nothing(member):
            if required:
                return NOTHING
            continue
        first = sequence(member, after)
        next_one = sequence(COMMA, member, after)
        if is_nothing(first):
            return NOTHING
        before = first if required else choice(first, before)
        after = next_one if required else choice(next_one, after)
    return before


def escaped(expression):
    """Returns an expression of texts as the same texts inside a JSON string."""
    if isinstance(expression, Chars):
        options, plain = [], []
        for first, last in expression.ranges:
            for code in [c for c in (*range(32), 0x22, 0x5C) if first <= c <= last]:
                text = json.dumps(chr(code))[1:-1]
                options.append(literal_expression(text))
            for low, high in ((0x20, 0x21), (0x23, 0x5B), (0x5D, LAST)):
                if max(first, low) <= min(last, high):
                    plain.append((max(first, low), min(last, high)))
        return choice(chars(plain), *options) if plain else choice(*options)
    if isinstance(expression, Sequence):
        return Sequence(tuple(map(escaped, expression.items)))
    if isinstance(expression, Choice):
        return Choice(tuple(map(escaped, expression.items)))
    if isinstance(expression, Repeat):
        return Repeat(escaped(expression.item), expression.least, expression.most)
    raise TypeError(type(expression).__name__)
