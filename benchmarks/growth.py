"""Time to a validation loss, from scratch and grown: the same final network, data and cores.

Trains the network of configs/text-grid.toml once from scratch and three times grown into it: by
depth (one block, then all), by axis (one row of the context, then all rows) and by both; for every
seed, one after another in turns, for the same minutes. Prints the seconds until the validation loss
is first reached (a part of the validation text, 40 times on the way), the loss of all of it at the
end, and steps. A run that is there already is not trained again: stop the program and start it
again as you like.

    python benchmarks/growth.py --source shakespeare.txt --minutes 4 --seeds 1 2 3 --plot growth.png
    python benchmarks/growth.py --minutes 0.5 --seeds 1 --target 2.6      # a short look
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="python-docs", help="the text (default python-docs)")
    parser.add_argument("--minutes", type=float, default=4.0, help="for each run (default 4)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="a run for each")
    parser.add_argument("--target", type=float, default=1.52, help="nats to reach (default 1.52)")
    parser.add_argument("--at", type=float, default=0.25, help="share before growing (default .25)")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--small-batch", type=int, help="examples per step before growing, by axis")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, for every run")
    parser.add_argument("--runs", default="runs/growth", help="where runs are kept")
    parser.add_argument("--plot", help="a file for the curves, a PNG")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    try:
        rows = [learn(arm, seed, options) for seed in options.seeds for arm in options.arms]
    except mdnn.MdnnError as error:
        print(f"benchmarks/growth.py: error: {error}", file=sys.stderr)
        return 2
    print(
        f"\n{Path(options.source).name}, {options.minutes:g} minutes each, "
        f"grown at {options.at:g}\n"
    )
    print_table(rows, options)
    if options.plot:
        draw(rows, options)
    return 0


def learn(arm, seed, options):
    """Trains one arm with one seed, or takes the run that is there; returns its figures."""
    from mdnn.training.metrics_log import read_metrics

    config = config_of(arm, seed, options)
    folder = Path(options.runs) / f"{arm}-{options.minutes:g}-{options.at:g}-{seed}"
    done = folder / "result.json"
    if not done.is_file():
        print(f"{arm}, seed {seed}", file=sys.stderr)
        began = (folder / "config.toml").is_file()
        result = mdnn.train(config, folder, resume=began)
        if result["stopped"]:
            raise KeyboardInterrupt
        done.write_text(json.dumps(result), encoding="utf-8")
    result, metrics = json.loads(done.read_text(encoding="utf-8")), read_metrics(folder)
    points = zip(metrics["seconds"], metrics["validation_loss"], strict=True)
    curve = [(seconds, nats) for seconds, nats in points if nats is not None]
    return {"arm": arm, "seed": seed, **result, "curve": curve}


def config_of(arm, seed, options):
    """The config of one arm: that of text-grid.toml, with a stage unless it is from scratch."""
    begin, end = ARMS[arm]
    small = [*begin]
    if any("grid" in change for change in begin):
        # As many positions a step before the growth as behind it.
        small.append(f"train.batch_size={options.small_batch or 64}")
        end = [*end, "train.batch_size=8"]
    changes = [
        f"train.minutes={options.minutes}",
        f"data.source={json.dumps(options.source)}",
        "train.sample=0",
        "train.num_evaluations=40",
        f"seed={seed}",
        *options.set,
    ]
    folder = Path(__file__).parents[1] / "configs"
    if end:
        keys = ", ".join(change.replace("=", " = ", 1) for change in end)
        small.append(f"train.stage=[{{at = {options.at}, {keys}}}]")
    return mdnn.load_config(folder / "text-grid.toml", [*changes, *small])


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
    """The median; `None` if a run never reached the target."""
    return None if not times or None in times else float(np.median(times))


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
    sys.exit(main())
