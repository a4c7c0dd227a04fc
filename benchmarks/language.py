"""What each network learns of a text in the same time: nats against seconds, a table and curves.

Trains configs one after another on the same text, from the same stream of random places in it
(seed, step), for the same seconds on the same machine, once for each seed. Prints validation
nats per character on the way (parts of the validation text) and at the end (all of it, in
consecutive windows, as `mdnn evaluate`), parameters and characters per second. Configs that are
named in `--search` are first trained for a fifth of the time at their own learning rate, at half
and at twice that, and go on with the best of the three. Run it on a machine that does nothing
else:

    python benchmarks/language.py --source shakespeare.txt --minutes 2.5 --seeds 1 2
    python benchmarks/language.py --minutes 2 configs/text.toml configs/text-grid.toml
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    run_changes,
    timed,
    validation_curve,
    write_figures,
)

import mdnn
from mdnn.runtime import quiet_import

NAMES = ("text", "text-grid", "transformer", "mixer")
# Rates that are searched, in a part of the time.
FACTORS, PART = (0.5, 1.0, 2.0), 0.2
# Points of the curve that are printed.
SHOWN = 5
COLOURS = ("#1f4e8c", "#c2572b", "#3d8c40", "#7a5195", "#8c6d1f", "#555555")


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "source", "seeds", "set", "json", minutes=2.5)
    parser.add_argument(
        "configs", nargs="*", help="config files", default=[CONFIGS / f"{c}.toml" for c in NAMES]
    )
    parser.add_argument(
        "--search", nargs="*", default=["transformer.toml"], help="names of configs (see above)"
    )
    parser.add_argument("--plot", help="a file for the curves, a PNG")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())

    rows = [row for path in options.configs for row in runs(path, options)]
    print(f"\n{options.source}, {options.minutes:g} minutes each\n")
    print_curves(rows, options.minutes)
    print_table(rows)
    write_figures(options.json, rows)
    if options.plot:
        draw(rows, options.plot, f"{Path(options.source).name}, {options.minutes:g} minutes each")
    return 0


def runs(path, options):
    """The runs of one config, one for each seed: a list of dicts."""
    from mdnn import load_config

    path, changes, searched = Path(path), [], []
    if path.name in options.search:
        for factor in FACTORS:
            rate = factor * load_config(path).train.optimizer.learning_rate
            own = [f"train.optimizer.learning_rate={rate}"]
            row = learn(path, options.seeds[0], options.minutes * PART, own, options)
            searched.append((row["loss"], rate))
        changes = [f"train.optimizer.learning_rate={min(searched)[1]}"]
    found = [learn(path, seed, options.minutes, changes, options) for seed in options.seeds]
    return [row | {"searched": searched} for row in found]


def learn(path, seed, minutes, changes, options):
    """Trains one config with one seed; returns its figures and its curve, a dict."""
    from mdnn import load_config, train

    changes = run_changes(options.source, minutes, seed, *options.set, *changes)
    config = load_config(path, changes)
    rate = config.train.optimizer.learning_rate
    print(f"{path.name}, seed {seed}, rate {rate:g}, {minutes:g} minutes", file=sys.stderr)
    before, begun = processor_seconds(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        result = train(config, Path(scratch) / "run")
        curve = validation_curve(Path(scratch) / "run")
    del result["run"]
    # Building, tracing, compiling and the last evaluation among it.
    result["wall_seconds"] = round(time.perf_counter() - begun, 1)
    whole, busy, own = (b - a for a, b in zip(before, processor_seconds(), strict=True))
    result["others"] = max(0.0, busy - own) / whole if whole else None
    return {"config": path.name, "seed": seed, "rate": rate, **result, "curve": curve}


def processor_seconds():
    """Seconds of all processors so far, those that were not idle, and this process's own.

    Zeros where the machine does not say (it is Linux that does).
    """
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except OSError:
        return 0.0, 0.0, 0.0
    whole, idle = sum(ticks), ticks[3] + ticks[4]
    tick = os.sysconf("SC_CLK_TCK")
    return whole / tick, (whole - idle) / tick, sum(os.times()[:2])


def print_curves(rows, minutes):
    """Prints validation nats on the way: of each run the check nearest to each of a few times."""
    times = [60 * minutes * k / SHOWN for k in range(1, SHOWN + 1)]
    print("| validation nats after | " + " | ".join(f"{t:.0f} s" for t in times) + " |")
    print("|---" * (SHOWN + 1) + "|")
    for row in rows:
        found = []
        for moment in times:
            near = min(row["curve"], key=lambda point: abs(point[0] - moment), default=None)
            close = near is not None and abs(near[0] - moment) <= 6 * minutes
            found.append(f"{near[1]:.3f}" if close else "")
        print(f"| {row['config']}, seed {row['seed']} | " + " | ".join(found) + " |")
    print()


def print_table(rows):
    """Prints the figures of the whole validation text, one row a run, and what was searched."""
    print(
        "| config | seed | rate | nats | bits per character | parameters | characters/s | steps "
        "| wall s | others |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        others = "" if row["others"] is None else f"{row['others']:.0%}"
        print(
            f"| {row['config']} | {row['seed']} | {row['rate']:g} | {row['loss']:.3f} | "
            f"{row['bits_per_character']:.3f} | {row['parameters']:,} | "
            f"{row['characters_per_second']:,} | {row['steps']:,} | {row['wall_seconds']:.0f} | "
            f"{others} |"
        )
    print("\nothers: the share of the machine's processors that went to anything else")
    for row in {row["config"]: row for row in rows}.values():
        if row["searched"]:
            tried = ", ".join(f"{nats:.3f} at {rate:g}" for nats, rate in row["searched"])
            print(f"\n{row['config']}, {PART:.0%} of the time at three rates: {tried}")


def draw(rows, path, title):
    """Draws validation nats against seconds, a color for each config, into a PNG."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(row["config"] for row in rows))
    for row in rows:
        first = row is next(other for other in rows if other["config"] == row["config"])
        colour = COLOURS[names.index(row["config"]) % len(COLOURS)]
        label = row["config"] if first else None
        axes.plot(*zip(*row["curve"], strict=True), color=colour, label=label, linewidth=1.2)
    last = [row["curve"][-1][1] for row in rows]
    axes.set_ylim(min(last) - 0.1, max(last) + 0.9)
    axes.set(xlabel="seconds", ylabel="validation nats per character", title=title)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, format="png")


if __name__ == "__main__":
    sys.exit(timed(main))
