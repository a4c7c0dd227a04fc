"""`mdnn grow`: makes a larger network that computes the same as a trained one."""

import json

from mdnn.cli.shared_options import add_json, add_set
from mdnn.file_systems import as_path, path_argument
from mdnn.files import check_new_folder
from mdnn.runtime import quiet_import


def add_grow(commands):
    """Adds the command to the parser of all commands."""
    grow = commands.add_parser("grow", help="make a larger network that computes the same")
    grow.add_argument(
        "run", metavar="RUN", type=path_argument, help="a run folder or a .keras file"
    )
    grow.add_argument(
        "--out", metavar="RUN2", type=path_argument, required=True, help="the run folder to make"
    )
    add_set(grow, "what grows: context.grid=[16,32], backbone.depth=6, backbone.width=256")
    add_json(grow)
    grow.set_defaults(run_command=run_grow)


def run_grow(options):
    """Makes the larger run and prints a summary."""
    check_new_folder(as_path(options.out, "--out"))
    quiet_import()
    from mdnn.training.growing.grow_run import grow

    facts = grow(options.run, options.out, options.set)
    if options.json:
        print(json.dumps(facts))
        return
    print(
        f"{facts['parameters_before']:,} parameters before, {facts['parameters']:,} now; the same "
        f"scores to {facts['difference']:.0e} of the largest; saved in {facts['run']}"
    )
    if facts["step"] is None:
        print(f"go on: mdnn train {facts['run']}/config.toml --out NEW --init-from {facts['run']}")
    else:
        print(
            f"go on from step {facts['step']:,}: mdnn train {facts['run']}/config.toml --out "
            f"{facts['run']} --resume --set train.minutes=..."
        )
