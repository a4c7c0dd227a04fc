"""Errors that a person can act on."""

import difflib

LONGEST = 1000
"""Characters of a message: what a file says may be as long as the file."""


class MdnnError(ValueError):
    """Input that mdnn cannot use: one line that names what was expected, received and where.

    The command line prints the message without a traceback and exits with status 2. What cannot
    be printed, line ends and what a terminal would obey among it, is a space.
    """

    def __init__(self, message=""):
        line = str(message)[: LONGEST + 1]
        if not line.isprintable():
            line = "".join(c if c.isprintable() else " " for c in line)
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}...")


def did_you_mean(word, known, cutoff=0.5):
    """Returns `" (did you mean 'x'?)"` for the known word nearest to `word`, or `""`.

    Args:
        word: what was received; anything but a string has no near word.
        known: the words that are known.
        cutoff: float from 0 to 1, the least similarity.
    """
    if not isinstance(word, str):
        return ""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {near[0]!r}?)" if near else ""
