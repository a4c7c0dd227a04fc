"""Numbers as JSON writes them, and whole numbers between limits."""

from mdnn.constraints.expressions import (
    NOTHING,
    Repeat,
    chars,
    choice,
    literal_expression,
    optional,
    sequence,
)

MAX_DIGITS = 18
"""Digits of a whole number, so that it fits 64 bits."""

LIMIT = 10**MAX_DIGITS - 1

_DIGIT = chars([(48, 57)])
_WHOLE = choice("0", sequence(chars([(49, 57)]), Repeat(_DIGIT, 0, MAX_DIGITS - 1)))

INTEGER = sequence(optional(literal_expression("-")), _WHOLE)
"""A whole number."""

NUMBER = sequence(
    INTEGER,
    optional(sequence(".", Repeat(_DIGIT, 1, MAX_DIGITS))),
    optional(
        sequence(
            chars([(69, 69), (101, 101)]),
            optional(chars([(43, 43), (45, 45)])),
            Repeat(_DIGIT, 1, 2),
        )
    ),
)
"""A number."""


def integers(least=None, most=None):
    """Returns the expression of whole numbers between two limits.

    Args:
        least, most: ints, inclusive; `None`: 18 digits at most.

    Example:

    >>> compile_expression(integers(-3, 120)).matches("120")
    True
    """
    least = -LIMIT if least is None else max(least, -LIMIT)
    most = LIMIT if most is None else min(most, LIMIT)
    if least > most:
        return NOTHING
    options = []
    if least < 0:
        options.append(sequence("-", _naturals(max(1, -most), -least)))
    if most >= 0:
        options.append(_naturals(max(0, least), most))
    return choice(*options)


def _naturals(least, most):
    """Returns whole numbers from 0 on without leading zeros."""
    options = []
    for size in range(len(str(least)), len(str(most)) + 1):
        low = max(least, 10 ** (size - 1) if size > 1 else 0)
        high = min(most, 10**size - 1)
        if low <= high:
            options.append(_same_size(str(low), str(high)))
    return choice(*options)


def _same_size(low, high):
    """Returns numbers between two of the same number of digits, both str."""
    if not low:
        return sequence()
    if set(low) == {"0"} and set(high) == {"9"}:
        return Repeat(_DIGIT, len(low), len(low))
    first, last = ord(low[0]), ord(high[0])
    if first == last:
        return sequence(low[0], _same_size(low[1:], high[1:]))
    size = len(low) - 1
    options = [sequence(low[0], _same_size(low[1:], "9" * size))]
    if last - first > 1:
        middle = chars([(first + 1, last - 1)])
        options.append(sequence(middle, Repeat(_DIGIT, size, size)))
    options.append(sequence(high[0], _same_size("0" * size, high[1:])))
    return choice(*options)
