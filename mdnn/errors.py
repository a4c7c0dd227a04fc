"""The error for invalid input, and suggestions for misspelt words."""

import difflib

LONGEST = 1000
"""Largest number of characters of a message, because quoted file contents may be long."""


class MdnnError(ValueError):
    """Raised for invalid input, with a one-line message of what was expected and received, where.

    The command line prints the message without a traceback and exits with status 2. Unprintable
    characters, including line ends and terminal control characters, are replaced by spaces.
    """

    def __init__(self, message=""):
        line = str(message)[: LONGEST + 1]
        if not line.isprintable():
            line = "".join(c if c.isprintable() else " " for c in line)
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}...")


def did_you_mean(word, known, cutoff=0.5, shown_as=None):
    """Returns `" (did you mean 'x'?)"` for the known word nearest to `word`, or `""`.

    Args:
        word: the value received; the result is `""` if it is not a string.
        known: iterable of strings, the known words.
        cutoff: float from 0 to 1, the smallest similarity.
        shown_as: dict from known words to the suggestions for them; `None`: the words themselves.
    """
    if not isinstance(word, str):
        return ""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {(shown_as or {}).get(near[0], near[0])!r}?)" if near else ""


def shown(value):
    """Returns a value as text for an error message: one line of at most 80 characters."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
