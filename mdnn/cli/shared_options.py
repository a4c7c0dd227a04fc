"""Options that several commands share."""

from mdnn.config.density import density_argument
from mdnn.file_systems import path_argument


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


def add_density(command, auto="auto: the one that the text needs"):
    """Adds `--density` to a command.

    Args:
        command: `argparse.ArgumentParser` of a command, or a group of its options.
        auto: str, what the word `auto` means; `None` where it does not apply.
    """
    words = "" if auto is None else f"; {auto}"
    command.add_argument(
        "--density",
        metavar="D",
        type=density_argument,
        help=f"one of the densities of train.density: a narrower, faster network (1){words}",
    )


def add_identity(command):
    """Adds `--identity` to a command, or to a group of its options."""
    command.add_argument(
        "--identity",
        metavar="FILE",
        type=path_argument,
        help="a file that mdnn adapt made for this network",
    )
