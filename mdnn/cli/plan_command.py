"""`mdnn plan`: estimates the cost of training on many devices."""

import json

from mdnn.cli.shared_options import add_json, add_set
from mdnn.file_systems import path_argument


def add_plan(commands):
    """Adds `mdnn plan` to the commands of a parser."""
    command = commands.add_parser(
        "plan", help="estimate the cost of training on many devices: memory, operations, exchange"
    )
    command.add_argument(
        "config",
        metavar="CONFIG",
        type=path_argument,
        help="a config file (.toml), or the name of one that comes with mdnn",
    )
    command.add_argument(
        "--mesh",
        metavar="SHARES",
        help="devices that divide the batch and the slowest axis of the grid: batch=8,row=128 "
        "(default: the config's own)",
    )
    command.add_argument(
        "--memory",
        metavar="GB",
        type=float,
        default=80.0,
        help="memory of a device, 10^9 bytes (80)",
    )
    command.add_argument(
        "--no-compile", action="store_true", help="only count, without compiling the step with JAX"
    )
    add_set(command)
    add_json(command)
    command.set_defaults(run_command=run_plan)


def run_plan(options):
    """Prints the plan of a config."""
    from mdnn.config.load import check_keys, load_config
    from mdnn.runtime import quiet_import

    check_keys(options.config, options.set)
    quiet_import()
    from mdnn.training.mesh.mesh_plan import plan

    config = load_config(options.config, options.set)
    result = plan(config, options.mesh, options.memory, not options.no_compile)
    print(json.dumps(result) if options.json else "\n".join(plan_lines(result)))


def plan_lines(result):
    """Returns the lines that show the result of `mdnn.plan`."""
    grid = " x ".join(map(str, result["grid"]))
    shares = ", ".join(f"{key} = {value}" for key, value in result["mesh"].items()) or "none"
    row = "{:<24} {:>12} {:>16} {:>16}".format
    lines = [
        f"{result['batch_size']} contexts of {result['positions']:,} positions ({grid}), "
        f"{result['parameters']:,} parameters; shares: {shares}; devices: {result['devices']:,}",
        "",
        row("on each device", "memory", "operations", "exchanged"),
    ]
    figures = {
        "a step, counted": result["step"],
        "a step, compiled": result["compiled"],
        "a character, counted": result["writing"],
    }
    for name, cost in figures.items():
        if "reason" in cost:
            lines.append(f"{name:<24} {cost['reason']}")
            continue
        memory, exchanged = (_scaled(cost[key], "B") for key in ("bytes", "exchanged"))
        lines.append(row(name, memory, _scaled(cost["operations"], ""), exchanged))
    memory = f"{result['memory']:g} GB"
    fits = "fits" if result["fits"] else "does not fit"
    lines += ["", f"the step {fits} into {memory} of each device"]
    if result["smallest"] is None:
        lines.append(f"no mesh of this batch and grid fits into devices of {memory}")
    else:
        shares = ",".join(f"{key}={value}" for key, value in result["smallest"].items())
        lines.append(f"smallest mesh that fits, as counted: {shares}")
    return lines


def _scaled(number, unit):
    """Formats a number with a unit and three digits: 12.3 GB."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}{unit}".strip()
    return f"{number:.0f} {unit}".strip()
