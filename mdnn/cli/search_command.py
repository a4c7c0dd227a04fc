"""`mdnn search`: finds the values of config keys with the lowest validation loss."""

import json
import signal

from mdnn.cli.shared_options import add_json, add_set
from mdnn.errors import MdnnError
from mdnn.file_systems import path_argument
from mdnn.training.signals import exit_status


def add_search(commands):
    """Adds `mdnn search` to the subparsers of the command line."""
    command = commands.add_parser(
        "search",
        help="try values of config keys in many short trainings",
        description="Trains the config with one combination of values after another, stops poor "
        "ones early, and writes the best config, a table and a picture into DIR.",
    )
    command.add_argument(
        "config",
        metavar="CONFIG",
        type=path_argument,
        help="a config file (.toml), or the name of one that comes with mdnn",
    )
    command.add_argument(
        "--try",
        metavar="KEY=A,B,C",
        dest="choices",
        action="append",
        required=True,
        help="values of a config key to try, as in backbone.depth=4,6 (once for each key)",
    )
    command.add_argument(
        "--minutes",
        metavar="N",
        type=float,
        required=True,
        help="minutes of the whole search; train.minutes or train.steps limits each trial",
    )
    command.add_argument(
        "--out", metavar="DIR", type=path_argument, required=True, help="the folder to make"
    )
    add_set(command, "change a config key for all trials: train.minutes=1")
    command.add_argument(
        "--resume", action="store_true", help="continue the search in DIR for another --minutes"
    )
    add_json(command)
    command.set_defaults(run_command=run_search)


def run_search(options):
    """Searches; returns the exit status."""
    from mdnn.config.load import check_keys
    from mdnn.runtime import quiet_import
    from mdnn.tuning.choices import parse_choice

    choices = {}
    for text in options.choices:
        key, values = parse_choice(text)
        if key in choices:
            raise MdnnError(f"--try {key}: expected each key once")
        choices[key] = values
    check_keys(options.config, options.set)
    quiet_import()
    from mdnn.tuning.report import trial_table
    from mdnn.tuning.search import search

    result = search(
        options.config, choices, options.minutes, options.out, options.set, options.resume
    )
    if options.json:
        print(json.dumps(result))
    elif result["rows"]:
        print("\n".join(trial_table(choices, result["rows"])))
        if result["best"]:
            print(f"the best config: {result['out']}/best.toml")
    if result["left"]:
        left = "1 combination is" if result["left"] == 1 else f"{result['left']} combinations are"
        print(f"{left} not tried; --resume goes on") if not options.json else None
    if result["signal"]:
        return exit_status(getattr(signal, result["signal"]))
    return 0
