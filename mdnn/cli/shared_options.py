"""Options that several commands share."""


def add_set(command, what="change a config key: train.minutes=1, data.source=book.txt"):
    """Adds `--set KEY=VALUE`, which may be given several times.

    Args:
        command: `argparse.ArgumentParser` of a command.
        what: str, the help text.
    """
    command.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=what)


def add_json(command):
    """Adds `--json` to a command."""
    command.add_argument("--json", action="store_true", help="the result as one JSON object")
