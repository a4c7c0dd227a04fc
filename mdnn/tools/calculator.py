"""An exact calculator."""

import fractions
import math
import re

from mdnn.tools.tool import LocalTool, ToolError

MAX_BITS = 20_000
"""Bits of a number's numerator and denominator."""

MAX_EXPRESSION = 1000
"""Characters of an expression."""

MAX_DEPTH = 50
"""Brackets, signs and powers in one another."""

SHOWN_DIGITS = 40
"""Digits of a whole number or decimal that are shown exactly; longer ones are rounded as well."""

_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z]+)|(\*\*|//|.))", re.S
)
# Multiplication and division signs, minus signs, and the circumflex as people type it.
_SIGNS = {"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "^": "**"}


class Calculator(LocalTool):
    """Calculates with fractions and shows exact results exactly."""

    name = "calculator"
    description = "calculates exactly: + - * / // % **, brackets, sqrt, abs, min, max, round, floor"
    parameters = {"expression": {"type": "string"}}  # noqa: RUF012
    required = ("expression",)
    harmless = True

    def run(self, expression):
        """Returns the value of an expression, such as `3/4` or `0.75`."""
        return shown_number(calculate(expression))


def calculate(expression):
    """Returns the value of an expression, a `Fraction`.

    Nothing is evaluated by Python: the expression is read token by token.

    Args:
        expression: str.

    Raises:
        ToolError: no expression, a division by zero, a result that is too large or no fraction.

    Example:

    >>> calculate("2 * (3 + 1/2)")
    Fraction(7, 1)
    """
    if len(expression) > MAX_EXPRESSION:
        raise ToolError(f"expected at most {MAX_EXPRESSION} characters")
    text = "".join(_SIGNS.get(character, character) for character in expression)
    # Thousands: 1,234,567.
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return _Calculation(text).value()


def _checked(value):
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ToolError("the result is too large")
    return value


class _Calculation:
    """Reads an expression from left to right.

    Args:
        text: str.
    """

    def __init__(self, text):
        self.tokens = [match.groups() for match in _TOKEN.finditer(text.rstrip())]
        self.at, self.depth = 0, 0

    def peek(self):
        """Returns the next sign, or an empty text."""
        return self.tokens[self.at][2] or "" if self.at < len(self.tokens) else ""

    def take(self, *signs):
        if self.peek() in signs and self.peek():
            self.at += 1
            return True
        return False

    def value(self):
        result = self.sum()
        if self.at < len(self.tokens):
            token = next(filter(None, self.tokens[self.at]))
            raise ToolError(f"expected an operator or the end, received {token!r}")
        return result

    def sum(self):
        result = self.product()
        while self.peek() in ("+", "-") and self.peek():
            sign = self.peek()
            self.at += 1
            other = self.product()
            result = _checked(result + other if sign == "+" else result - other)
        return result

    def product(self):
        result = self.factor()
        while self.peek() in ("*", "/", "//", "%") and self.peek():
            sign = self.peek()
            # A percent sign at the end of a number belongs to the number.
            self.at += 1
            other = self.factor()
            if sign == "*":
                result = result * other
            elif other == 0:
                raise ToolError("division by zero")
            elif sign == "/":
                result = result / other
            elif sign == "//":
                result = fractions.Fraction(result // other)
            else:
                result = result % other
            _checked(result)
        return result

    def factor(self):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ToolError("the expression is nested too deeply")
        try:
            if self.take("-"):
                return -self.factor()
            if self.take("+"):
                return self.factor()
            result = self.atom()
            while self.peek() == "%" and self._ends_number():
                self.at += 1
                result = result / 100
            if self.take("**"):
                result = _power(result, self.factor())
            return result
        finally:
            self.depth -= 1

    def _ends_number(self):
        """Returns whether a percent sign is after a number rather than between two."""
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None
        return following is None or (following[2] or "") in (*"+-*/%),", "**", "//")

    def atom(self):
        if self.at >= len(self.tokens):
            raise ToolError("the expression is incomplete")
        number, word, sign = self.tokens[self.at]
        self.at += 1
        if number is not None:
            exponent = re.search(r"[eE]([+-]?\d+)$", number)
            if exponent and abs(int(exponent[1])) > MAX_BITS // 4:
                raise ToolError("the number is too large")
            return _checked(fractions.Fraction(number.rstrip(".")))
        if sign == "(":
            result = self.sum()
            if not self.take(")"):
                raise ToolError("expected ')'")
            return result
        if word is not None:
            return self.function(word)
        raise ToolError(f"expected a number, received {sign!r}")

    def function(self, name):
        if name == "pi":
            raise ToolError("pi is not a fraction; write the digits that you need")
        if name not in _FUNCTIONS:
            raise ToolError(f"unknown function {name!r}; known: {', '.join(_FUNCTIONS)}")
        if not self.take("("):
            raise ToolError(f"expected '(' after {name}")
        values = [self.sum()]
        while self.take(","):
            values.append(self.sum())
        if not self.take(")"):
            raise ToolError("expected ')'")
        function, most = _FUNCTIONS[name]
        if len(values) > most:
            raise ToolError(f"{name}: expected at most {most} numbers, received {len(values)}")
        return _checked(fractions.Fraction(function(*values)))


def _power(base, exponent):
    if exponent.denominator != 1:
        if exponent == fractions.Fraction(1, 2):
            return _root(base)
        raise ToolError("expected a whole exponent")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * size > MAX_BITS:
        if abs(base) in (0, 1):
            return base ** (2 + exponent % 2) if base else base
        raise ToolError("the result is too large")
    if base == 0 and exponent < 0:
        raise ToolError("division by zero")
    return base ** int(exponent)


def _root(value):
    if value < 0:
        raise ToolError("sqrt: expected a number from 0 on")
    roots = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if roots[0] ** 2 == value.numerator and roots[1] ** 2 == value.denominator:
        return fractions.Fraction(*roots)
    # No fraction: rounded to 20 digits.
    scale = 10**40
    root = math.isqrt(value.numerator * scale // value.denominator)
    return fractions.Fraction(root, 10**20)


def _round(value, digits=fractions.Fraction(0)):
    if digits.denominator != 1 or abs(digits) > 100:
        raise ToolError("round: expected a whole number of digits up to 100")
    return round(value, int(digits))


_FUNCTIONS = {
    "sqrt": (_root, 1),
    "abs": (abs, 1),
    "round": (_round, 2),
    "floor": (math.floor, 1),
    "ceil": (math.ceil, 1),
    "min": (lambda *values: min(values), 100),
    "max": (lambda *values: max(values), 100),
}


def shown_number(value):
    """Returns a fraction as text: a whole number, an exact decimal, or a fraction and a decimal.

    Example:

    >>> shown_number(fractions.Fraction(2, 3))
    '2/3 (about 0.666666666667)'
    """
    if value.denominator == 1:
        return str(value.numerator)
    rest, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest //= prime
            count += 1
        places = max(places, count)
    if rest == 1 and places <= SHOWN_DIGITS:
        scaled = abs(value.numerator) * 10**places // value.denominator
        digits = str(scaled).rjust(places + 1, "0")
        return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    try:
        about = f"{float(value):.12g}"
    except OverflowError:
        about = "too large to show"
    return f"{value.numerator}/{value.denominator} (about {about})"
