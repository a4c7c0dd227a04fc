"""Time to a validation loss, from scratch and grown: the same final network, data and cores.

Trains the network of configs/text-grid.toml once from scratch and three times grown into it: by
depth (one block, then all), by axis (one row of the context, then all rows) and by both; for every
seed, one after another in turns, for the same minutes. Prints the seconds until the validation loss
is first reached (a part of the validation text, 40 times on the way), the loss of all of it at the
end, and steps. A run that is there already is not trained again: stop the program and start it
again as you like.

With --step-clock the time does not depend on what else the machine does: the steps of all networks
are measured in turns first (`step-seconds.json` beside the runs keeps the medians), and each step
of the trainings counts as that long. Compiling and evaluating are not counted then.

    python benchmarks/growth.py --source shakespeare.txt --minutes 4 --seeds 1 2 3 --plot growth.png
    python benchmarks/growth.py --minutes 0.5 --seeds 1 --target 2.6      # a short look
"""

import sys
from pathlib import Path

import numpy as np
from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    count_processor_time,
    count_step_seconds,
    run_changes,
    step_seconds_in_turns,
    timed,
    trained_once,
    validation_curve,
)

import mdnn
from mdnn.runtime import quiet_import

ARMS = {
    "scratch": ([], []),
    "depth": (["backbone.depth=1"], ["backbone.depth=4"]),
    "axis": (["context.grid=[32]"], ["context.grid=[8, 32]"]),
    "both": (
        ["context.grid=[32]", "backbone.depth=1"],
        ["context.grid=[8, 32]", "backbone.depth=4"],
    ),
}
"""What each arm begins with, and what changes at the growth."""

COLOURS = {"scratch": "#1f4e8c", "depth": "#c2572b", "axis": "#3d8c40", "both": "#7a5195"}


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(
        __doc__,
        "source",
        "set",
        "processor-time",
        "step-clock",
        minutes=4.0,
        seeds=[1, 2, 3],
        runs="runs/growth",
    )
    parser.add_argument("--target", type=float, default=1.52, help="nats to reach (default 1.52)")
    parser.add_argument("--at", type=float, default=0.25, help="share before growing (default .25)")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--small-batch", type=int, help="examples per step before growing, by axis")
    parser.add_argument("--plot", help="a file for the curves, a PNG")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    if options.processor_time:
        count_processor_time()
    if options.step_clock:
        seconds = step_seconds(options)
        count_step_seconds(lambda config: seconds[network_name(config)])
    rows = [learn(arm, seed, options) for seed in options.seeds for arm in options.arms]
    print(
        f"\n{Path(options.source).name}, {options.minutes:g} minutes each, "
        f"grown at {options.at:g}\n"
    )
    print_table(rows, options)
    if options.plot:
        draw(rows, options)
    return 0


def network_name(config):
    """Names the network of a stage: its grid and its depth."""
    return f"{config.context.grid} x {config.backbone.depth}"


def step_seconds(options):
    """Returns the seconds of a step of each network by its name."""
    from mdnn.config.growing import stage_configs

    arms = [stage_configs(config_of(arm, 1, options)) for arm in ARMS]
    configs = {network_name(config): config for stages in arms for config in stages}
    return step_seconds_in_turns(Path(options.runs), configs)


def learn(arm, seed, options):
    """Trains one arm with one seed, or takes the run that is there; returns its figures."""
    config = config_of(arm, seed, options)
    folder = Path(options.runs) / f"{arm}-{options.minutes:g}-{options.at:g}-{seed}"
    result = trained_once(folder, lambda resume: mdnn.train(config, folder, resume=resume))
    return {"arm": arm, "seed": seed, **result, "curve": validation_curve(folder)}


def config_of(arm, seed, options):
    """The config of one arm: that of text-grid.toml, with a stage unless it is from scratch."""
    begin, end = ARMS[arm]
    small = [*begin]
    if any("grid" in change for change in begin):
        # As many positions a step before the growth as after it.
        small.append(f"train.batch_size={options.small_batch or 64}")
        end = [*end, "train.batch_size=8"]
    more = ["train.num_evaluations=40", *options.set]
    changes = run_changes(options.source, options.minutes, seed, *more)
    if end:
        keys = ", ".join(change.replace("=", " = ", 1) for change in end)
        small.append(f"train.stage=[{{at = {options.at}, {keys}}}]")
    return mdnn.load_config(CONFIGS / "text-grid.toml", [*changes, *small])


def reached(curve, target):
    """Seconds at which the validation loss is at most `target` first, between two evaluations."""
    before = None
    for seconds, nats in curve:
        if nats <= target:
            if before is None:
                return seconds
            share = (before[1] - target) / max(before[1] - nats, 1e-9)
            return before[0] + share * (seconds - before[0])
        before = seconds, nats
    return None


def print_table(rows, options):
    """Prints a row for each arm: medians over the seeds, and each seed's figure."""
    times = {}
    for row in rows:
        times.setdefault(row["arm"], []).append(reached(row["curve"], options.target))
    print(
        f"| arm | seconds to {options.target:g} nats, each seed | median | saved "
        "| nats at the end | steps |"
    )
    print("|---|---|---|---|---|---|")
    base = median(times.get("scratch", [None]))
    for arm, found in times.items():
        own = [row for row in rows if row["arm"] == arm]
        middle = median(found)
        saved = f"{1 - middle / base:.0%}" if middle and base else ""
        print(
            f"| {arm} | {', '.join('never' if t is None else f'{t:.0f}' for t in found)} | "
            f"{'never' if middle is None else f'{middle:.0f}'} | {saved} | "
            f"{', '.join(format(row['loss'], '.3f') for row in own)} | "
            f"{', '.join(format(row['steps'], ',') for row in own)} |"
        )


def median(times):
    """The median, a run that never reached the target being the slowest; `None`: it is that."""
    middle = np.median([np.inf if time is None else time for time in times])
    return float(middle) if np.isfinite(middle) else None


def draw(rows, options):
    """Draws validation loss against seconds, a line for each run."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes, seen = figure.add_subplot(), set()
    rows = [row for row in rows if row["curve"]]
    for row in rows:
        label = None if row["arm"] in seen else row["arm"]
        seen.add(row["arm"])
        axes.plot(*zip(*row["curve"], strict=True), color=COLOURS[row["arm"]], label=label)
    axes.axhline(options.target, color="#777777", linewidth=1, linestyle="--")
    axes.axvline(60 * options.minutes * options.at, color="#b0603a", linewidth=1, linestyle=":")
    lowest = min((nats for row in rows for _, nats in row["curve"]), default=options.target)
    axes.set(xlabel="seconds", ylabel="validation nats per character")
    axes.set_ylim(lowest - 0.03, max(options.target + 0.5, lowest + 0.8))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(options.plot)


if __name__ == "__main__":
    sys.exit(timed(main))
