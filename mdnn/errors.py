"""Errors that a person can act on."""


class MdnnError(ValueError):
    """Input that mdnn cannot use: one line that names what was expected, received and where.

    The command line prints the message without a traceback and exits with status 2.
    """
