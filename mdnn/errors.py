"""Errors that a person can act on."""

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
