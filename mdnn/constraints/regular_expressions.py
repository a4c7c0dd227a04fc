"""Parses regular expressions."""

from mdnn.constraints.expressions import (
    EMPTY,
    LAST,
    Choice,
    Repeat,
    Sequence,
    chars,
    other_chars,
)
from mdnn.errors import MdnnError

MAX_REPEAT = 10_000
"""Largest number of repetitions."""

MAX_PATTERN = 100_000
"""Largest number of characters of a regular expression."""

DIGITS = ((48, 57),)
WORD_CHARACTERS = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACES = ((9, 13), (32, 32), (0xA0, 0xA0), (0x2028, 0x2029), (0xFEFF, 0xFEFF))

_CLASSES = {"d": DIGITS, "w": WORD_CHARACTERS, "s": SPACES}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}


def parse_regex(pattern, where="regex", search=False):
    """Returns the expression of a regular expression.

    The syntax is that of JavaScript and Python without lookaround, back references and word
    boundaries. `\\d`, `\\w` are ASCII; `.` is any character but a line break.

    Args:
        pattern: str.
        where: str, its name in errors.
        search: bool, whether the pattern may match anywhere in a text unless `^` and `$` say
            otherwise, as in JSON schemas; otherwise the whole text has to match.

    Raises:
        MdnnError: no regular expression, or a construct that is not supported.

    Example:

    >>> compile_expression(parse_regex("[a-c]+\\d{2}")).matches("ab12")
    True
    """
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        raise MdnnError(f"{where}: expected a string of at most {MAX_PATTERN:,} characters")
    try:
        return _PatternReader(pattern, where).whole(search)
    except RecursionError:
        raise MdnnError(f"{where}: it is nested too deeply") from None


class _PatternReader:
    """Reads a pattern from left to right.

    Args:
        pattern, where: see `parse_regex`.
    """

    def __init__(self, pattern, where):
        self.pattern, self.where, self.at = pattern, where, 0

    def error(self, message):
        return MdnnError(f"{self.where}: {message}, at character {self.at} of {self.pattern!r}")

    def peek(self):
        return self.pattern[self.at : self.at + 1]

    def take(self):
        if self.at >= len(self.pattern):
            raise self.error("it is incomplete")
        self.at += 1
        return self.pattern[self.at - 1]

    def accept(self, text):
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def whole(self, search):
        any_text = Repeat(chars([(0, LAST)]))
        branches = []
        while True:
            begins = self.accept("^")
            items = self.items()
            ends = self.accept("$")
            before = () if begins or not search else (any_text,)
            after = () if ends or not search else (any_text,)
            branches.append(Sequence((*before, *items, *after)))
            if not self.accept("|"):
                break
        if self.at < len(self.pattern):
            raise self.error("')' without '('" if self.peek() == ")" else "'^' or '$' inside")
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def branches(self):
        """Reads alternatives inside a group."""
        branches = [Sequence(self.items())]
        while self.accept("|"):
            branches.append(Sequence(self.items()))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def items(self):
        """Reads one alternative, a tuple of expressions."""
        items = []
        while self.peek() and self.peek() not in "|)$^":
            items.append(self.repeated(self.atom()))
        return tuple(items)

    def repeated(self, item):
        sign = self.peek()
        if sign and sign in "*+?":
            self.at += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        elif sign == "{" and (limits := self.limits()) is not None:
            least, most = limits
        else:
            return item
        # Lazy and possessive forms describe the same texts.
        if self.peek() and self.peek() in "?+":
            self.at += 1
        if self.peek() and self.peek() in "*+?":
            raise self.error("nothing to repeat")
        return Repeat(item, least, most) if most != 0 else EMPTY

    def limits(self):
        """Reads `{m}`, `{m,}` or `{m,n}`; returns `None` for a brace that is a character."""
        end = self.pattern.find("}", self.at)
        numbers = self.pattern[self.at + 1 : end].split(",") if end > 0 else []
        if (
            not numbers
            or len(numbers) > 2
            or not all(n == "" or (n.isascii() and n.isdigit()) for n in numbers)
            or numbers == [""]
            or numbers[0] == ""
        ):
            return None
        least = int(numbers[0]) if len(numbers[0]) < 9 else MAX_REPEAT + 1
        most = least if len(numbers) == 1 else int(numbers[1][:9]) if numbers[1] else None
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise self.error(f"expected repetitions from 0 to {MAX_REPEAT:,} in order")
        self.at = end + 1
        return least, most

    def atom(self):
        character = self.take()
        if character == "(":
            return self.group()
        if character == "[":
            return self.set()
        if character == ".":
            return other_chars([(10, 10), (13, 13), (0x2028, 0x2029)])
        if character == "\\":
            ranges, other = self.escape()
            return other_chars(ranges) if other else chars(ranges)
        if character in "*+?":
            raise self.error("nothing to repeat")
        return chars([(ord(character), ord(character))])

    def group(self):
        if self.accept("?"):
            if self.accept("P<") or (
                self.peek() == "<" and self.pattern[self.at + 1 :][:1] not in "=!"
            ):
                self.accept("<")
                end = self.pattern.find(">", self.at)
                if end < 0:
                    raise self.error("the name of a group is not closed")
                self.at = end + 1
            elif not self.accept(":"):
                raise self.error("lookaround and other forms of (?...) are not supported")
        inside = self.branches()
        if self.peek() and self.peek() in "^$":
            raise self.error("'^' or '$' inside a group is not supported")
        if not self.accept(")"):
            raise self.error("expected ')'")
        return inside

    def escape(self):
        """Reads what follows a backslash; returns ranges, and whether all others are meant."""
        letter = self.take()
        if letter.lower() in _CLASSES:
            return _CLASSES[letter.lower()], letter.isupper()
        if letter in _CONTROLS:
            code = _CONTROLS[letter]
        elif letter in "xu":
            size = 2 if letter == "x" else 4
            digits = self.pattern[self.at : self.at + size]
            if len(digits) < size or not all(d in "0123456789abcdefABCDEF" for d in digits):
                raise self.error(f"expected {size} hexadecimal digits")
            self.at += size
            code = int(digits, 16)
        elif letter.isalnum() and letter.isascii():
            raise self.error(f"\\{letter} is not supported")
        else:
            code = ord(letter)
        return ((code, code),), False

    def set(self):
        """Reads a set of characters after its bracket."""
        negated, ranges, first = self.accept("^"), [], True
        while first or self.peek() != "]":
            first = False
            low = self.member(ranges)
            if low is None:
                continue
            if self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.member([])
                if high is None or high < low:
                    raise self.error("expected a range in order")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        self.at += 1
        return other_chars(ranges) if negated else chars(ranges)

    def member(self, ranges):
        """Reads a member of a set; returns its code point, `None` for a class, which is added."""
        character = self.take()
        if character != "\\":
            return ord(character)
        if self.peek() == "b":
            self.at += 1
            return 8
        found, other = self.escape()
        if other:
            ranges += other_chars(found).ranges
            return None
        if len(found) == 1 and found[0][0] == found[0][1]:
            return found[0][0]
        ranges += found
        return None
