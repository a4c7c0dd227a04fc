"""Expressions that describe sets of texts, from which automata are made."""

from dataclasses import dataclass

LAST = 0x10FFFF
"""The last code point."""

SURROGATES = (0xD800, 0xDFFF)
"""Code points that no text has."""


@dataclass(frozen=True, eq=False)
class Chars:
    """One character out of ranges of code points.

    Args:
        ranges: tuple of pairs of ints, first and last code point, in order and disjoint.
    """

    ranges: tuple


@dataclass(frozen=True, eq=False)
class Sequence:
    """Expressions in sequence; an empty sequence matches the empty text.

    Args:
        items: tuple of expressions.
    """

    items: tuple = ()


@dataclass(frozen=True, eq=False)
class Choice:
    """One of several expressions; an empty choice matches no text.

    Args:
        items: tuple of expressions.
    """

    items: tuple = ()


@dataclass(frozen=True, eq=False)
class Repeat:
    """An expression repeated several times.

    Args:
        item: the expression.
        least: int, smallest number of repetitions.
        most: int, largest number of repetitions; `None`: no limit.
    """

    item: object
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, eq=False)
class TextUntil:
    """Any text up to the first of some marks, the mark, and what follows it.

    Args:
        marks: tuple of pairs of a mark, str, and the expression after it. No mark is the beginning
            of another.
    """

    marks: tuple


NOTHING = Choice()
"""Matches no text."""

EMPTY = Sequence()
"""Matches the empty text."""


def chars(ranges):
    """Returns `Chars` of code points, without surrogates.

    Args:
        ranges: iterable of pairs of ints, first and last; in any order, they may overlap.
    """
    return Chars(_without(merged_ranges(ranges), (SURROGATES,)))


def other_chars(ranges):
    """Returns `Chars` of all characters but those of ranges."""
    return Chars(_without(((0, LAST),), merged_ranges([*ranges, SURROGATES])))


def merged_ranges(ranges):
    """Returns ranges in order and disjoint, a tuple of pairs."""
    result = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def _without(ranges, others):
    """Returns ranges without others; both in order and disjoint."""
    result = []
    for first, last in ranges:
        for start, end in others:
            if end < first or start > last:
                continue
            if start > first:
                result.append((first, start - 1))
            first = end + 1
        if first <= last:
            result.append((first, last))
    return tuple(result)


def literal_expression(text):
    """Returns the expression of one text."""
    return Sequence(tuple(Chars(((ord(c), ord(c)),)) for c in text))


def sequence(*items):
    """Returns expressions one after another; nothing if one of them is nothing."""
    if any(is_nothing(item) for item in items):
        return NOTHING
    return Sequence(
        tuple(literal_expression(item) if isinstance(item, str) else item for item in items)
    )


def choice(*items):
    """Returns one of several expressions, those that are nothing left out."""
    items = [literal_expression(item) if isinstance(item, str) else item for item in items]
    items = tuple(item for item in items if not is_nothing(item))
    return items[0] if len(items) == 1 else Choice(items)


def optional(item):
    """Returns an expression or the empty text."""
    return EMPTY if is_nothing(item) else Choice((item, EMPTY))


def is_nothing(item):
    """Returns whether an expression matches no text at all."""
    return isinstance(item, Choice) and not item.items
