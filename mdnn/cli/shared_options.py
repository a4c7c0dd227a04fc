"""Options that several commands share."""

from mdnn.config.density import density_argument
from mdnn.errors import MdnnError
from mdnn.file_systems import path_argument


def add_set(command, what="change a config key: train.minutes=1, data.source=book.txt"):
    """Adds `--set KEY=VALUE`, which may be given several times.

    Args:
        command: `argparse.ArgumentParser` of a command.
        what: str, the help text.
    """
    command.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=what)


def add_member(command):
    """Adds `--member N` and `--ensemble`, of runs of networks in tandem."""
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--member", metavar="N", type=int, help="networks in tandem: use only member N, from 0"
    )
    which.add_argument(
        "--ensemble",
        action="store_true",
        help="networks in tandem: use the mean of all members' probabilities (the default)",
    )


def chosen(run, options):
    """Returns the run of the member that a command's options choose.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        options: the parsed command line of a command with `add_member`.

    Raises:
        MdnnError: the run holds one network, or there is no such member.
    """
    if options.ensemble and not run.config.tandem.members:
        raise MdnnError("--ensemble: this run holds one network, expected tandem.members")
    return run if options.member is None else run.member(options.member)


def add_json(command):
    """Adds `--json` to a command."""
    command.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_density(command, auto="auto: the one that the text needs"):
    """Adds `--density` to a command.

    Args:
        command: `argparse.ArgumentParser` of a command, or a group of its options.
        auto: str, help text for the word `auto`; `None` if it is not accepted.
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


def add_chat_data(command):
    """Adds `--chat` to a command that reads data."""
    command.add_argument(
        "--chat",
        action="store_true",
        help="the data are conversations (JSON lines), for a network whose tokenizer has a chat "
        "template; the loss counts the assistant's turns",
    )
