"""`mdnn shrink`: a smaller run, cut out of a trained one."""

import json

from mdnn.cli.shared_options import add_density, add_json, add_set
from mdnn.file_systems import as_path, path_argument
from mdnn.files import check_new_folder
from mdnn.runtime import quiet_import


def add_shrink(commands):
    """Adds the command to the parser of all commands."""
    shrink = commands.add_parser("shrink", help="cut a smaller run out of a trained one")
    shrink.add_argument(
        "run", metavar="RUN", type=path_argument, help="a run folder or a .keras file"
    )
    shrink.add_argument(
        "--out", metavar="RUN2", type=path_argument, required=True, help="the run folder to make"
    )
    add_density(shrink, None)
    add_set(shrink, "what shrinks: context.grid=[32], backbone.depth=2")
    add_json(shrink)
    shrink.set_defaults(run_command=run_shrink)


def run_shrink(options):
    """Makes the smaller run and prints a summary."""
    check_new_folder(as_path(options.out, "--out"))
    quiet_import()
    from mdnn.training.growing.shrink_run import shrink

    facts = shrink(options.run, options.out, options.density, options.set)
    if options.json:
        print(json.dumps(facts))
        return
    positions = f"{facts['positions']:,} position{'s' if facts['positions'] > 1 else ''}"
    print(
        f"{facts['parameters_before']:,} parameters before, {facts['parameters']:,} now; a context "
        f"of {positions}; saved in {facts['run']}"
    )
    more = "" if facts["step"] is None else " --init-optimizer"
    command = f"mdnn train {facts['run']}/config.toml --out NEW --init-from {facts['run']}{more}"
    print(f"train on: {command}")
