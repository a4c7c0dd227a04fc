"""What refeeding solves: exact answers against steps, beside a single pass of as many parameters.

Trains the configs of puzzles and asks each network at least 1,000 puzzles that it has never met,
after more and more steps, also of larger puzzles where its weights allow it:

    python benchmarks/thinking.py                        all of the below, two seeds: 2 hours
    python benchmarks/thinking.py prefix-sums maze       prefix sums of 32 bits, asked of 512;
                                                         mazes of 9x9, asked of 13x13 and 25x25
    python benchmarks/thinking.py sudoku-6x6 sudoku-9x9
    python benchmarks/thinking.py text --source shakespeare.txt
    python benchmarks/thinking.py --sudoku-extreme train.csv --tests test.csv --out runs/extreme

The last one trains configs/sudoku-extreme.toml for `--minutes`, or goes on for as many with the run
in `--out`, on either backend. Run it on a machine that does nothing else.
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    print_heading,
    run_changes,
    timed,
    write_figures,
)

from mdnn.runtime import quiet_import

# What each network is asked: sources, and after how many steps.
ASKED = {
    "prefix-sums": {
        "prefix-sums-32": [1, 5, 10, 20, 40, 80],
        "prefix-sums-128": [20, 40, 80, 160, 320],
        "prefix-sums-512": [40, 160, 320, 640, 1280],
    },
    "maze": {
        "maze-9x9": [1, 5, 10, 20, 40, 80],
        "maze-13x13": [10, 20, 40, 80, 160],
        "maze-25x25": [40, 80, 160, 320, 640],
    },
    "sudoku-6x6": {"sudoku-6x6": [1, 2, 4, 8, 16, 32, 48, 96, 192]},
    "sudoku-9x9": {"sudoku-9x9": [1, 2, 4, 8, 16, 32, 48, 96, 192, 384]},
}

# Beside which single passes are trained, no refeeding then or after: the same network, and a deeper
# one of more parameters.
SINGLE_BESIDE = ("sudoku-6x6", "sudoku-9x9")
SINGLE = (
    "refeed.steps=1",
    "refeed.bptt_steps=0",
    "refeed.supervision_steps=1",
    "refeed.inner_steps=0",
    "refeed.step_schedule='fixed'",
    "refeed.initial_state='zeros'",
    "refeed.damping=0.0",
    "refeed.noise=0.0",
)
SINGLES = {
    "a single pass": SINGLE,
    "a single pass, 8 blocks": (*SINGLE, "backbone.depth=8", "backbone.width=16"),
}

# configs/text.toml refed: blocks and steps whose product is about its own depth, so that a step of
# training takes about as long.
TEXT = ((4, 1), (2, 2), (4, 2), (1, 4))


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "minutes", "set", "json", seeds=[1, 2])
    parser.add_argument("proofs", nargs="*", help=", ".join((*ASKED, "text")))
    parser.add_argument("--cases", type=int, default=1000, help="puzzles asked (default 1000)")
    parser.add_argument("--num-starts", type=int, default=1, help="random states to begin in")
    singles = parser.add_mutually_exclusive_group()
    singles.add_argument("--no-single", action="store_true", help="without the single passes")
    singles.add_argument("--only-single", action="store_true", help="the single passes alone")
    parser.add_argument("--source", default="python-docs", help="the text of the row of text")
    parser.add_argument("--sudoku-extreme", metavar="CSV", help="puzzles to train on, see above")
    parser.add_argument("--tests", metavar="CSV", help="puzzles to ask --sudoku-extreme")
    parser.add_argument("--out", help="a folder for the runs (default: none is kept)")
    parser.add_argument("--plot", help="a file for the curves of puzzles, a PNG")
    options = parser.parse_args()
    quiet_import()

    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(options, Path(options.out or scratch))
    write_figures(options.json, rows)
    curves = [row for row in rows if "curve" in row]
    if options.plot and curves:
        draw(curves, options.plot)
    return 0


def measured(options, folder):
    """The rows of everything that was asked for; prints each table when it is there."""
    from mdnn import MdnnError

    if options.sudoku_extreme:
        if not options.out:
            raise MdnnError("--out: --sudoku-extreme goes on with a run, expected its folder")
        return extreme(options, folder)
    proofs = options.proofs or [*ASKED, "text"]
    if unknown := [name for name in proofs if name not in (*ASKED, "text")]:
        raise MdnnError(f"unknown proof {unknown[0]!r}; known: {', '.join((*ASKED, 'text'))}")
    rows = []
    for name in proofs:
        if name == "text":
            found = text(options, folder)
            print_text(found)
        else:
            found = [row for seed in options.seeds for row in proof(name, seed, options, folder)]
            print_proof(name, found)
        rows += found
    return rows


def proof(name, seed, options, folder):
    """Trains one config and asks it everything: a list of rows."""
    out = folder / f"{name}-{seed}"
    rows = [] if options.only_single else learn(name, seed, options, out, ASKED[name])
    if name in SINGLE_BESIDE and not options.no_single:
        own = {source: [1] for source in list(ASKED[name])[:1]}
        for number, single in enumerate(SINGLES, 1):
            out = folder / f"{name}-{seed}-single-{number}"
            rows += learn(name, seed, options, out, own, single)
    return rows


def learn(name, seed, options, out, asked, single="", changes=(), resume=False):
    """Trains one config, or a single pass of it, into a folder; returns a row for each source that
    it is asked."""
    from mdnn import evaluate, load_config, train
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks import task_for
    from mdnn.training.progress import Ticker

    changes = [*options.set, *changes, *SINGLES.get(single, ())]
    changes += [f"seed={seed}", f"data.validation_size={options.cases}"]
    if options.minutes is not None:
        changes.append(f"train.minutes={options.minutes + spent(out)}")
    config = load_config(CONFIGS / f"{name}.toml", changes)
    print(", ".join(filter(None, (name, single, f"seed {seed}"))), file=sys.stderr)
    result = train(config, out, resume=resume)
    run = open_run(result["run"])
    task = task_for(run.config)
    rows = []
    for source, step_counts in asked.items():
        cases = task.open_source(source)
        num_starts = 1 if single else options.num_starts
        progress = Ticker(f"asking {source}")
        curve = evaluate(run, cases, list(step_counts), progress, num_starts=num_starts)["curve"]
        rows.append(
            {
                "proof": name,
                "seed": seed,
                "single": single,
                "source": source,
                "minutes": result["seconds"] / 60,
                "steps": result["steps"],
                "parameters": result["parameters"],
                "trained": config.refeed.steps * config.refeed.supervision_steps,
                "curve": curve,
            }
        )
    return rows


def spent(out):
    """Minutes of training that a run has had; 0 where there is none."""
    from mdnn.training.metrics_log import read_metrics

    return (read_metrics(out).get("seconds") or [0.0])[-1] / 60


def print_proof(name, rows):
    """Prints exact answers against steps, a table for each source."""
    one = rows[0]
    print(
        f"\n{name}: {one['minutes']:.1f} minutes of training, "
        f"{one['curve'][0]['puzzles']:,} puzzles asked, exact answers after so many steps\n"
    )
    for source in dict.fromkeys(row["source"] for row in rows):
        own = sorted(
            (row for row in rows if row["source"] == source), key=lambda row: row["single"]
        )
        step_counts = [point["steps"] for point in own[0]["curve"]]
        print(f"| {source} | parameters | " + " | ".join(f"{n:,}" for n in step_counts) + " |")
        print("|---" * (len(step_counts) + 2) + "|")
        for row in own:
            title = ", ".join(filter(None, (row["single"], f"seed {row['seed']}")))
            shares = [f"{point['exact']:.1%}" for point in row["curve"]]
            shares += [""] * (len(step_counts) - len(shares))
            steps = f"{row['steps']:,} training steps"
            print(f"| {title}, {steps} | {row['parameters']:,} | {' | '.join(shares)} |")
        print(flush=True)


def text(options, folder):
    """Nats of configs/text.toml, plain and refed, after equal time: a list of rows."""
    from mdnn import load_config, train

    rows = []
    for seed in options.seeds:
        for depth, steps in TEXT:
            more = [f"backbone.depth={depth}", f"refeed.steps={steps}", *options.set]
            changes = run_changes(options.source, options.minutes or 2.5, seed, *more)
            print(f"text, {depth} blocks, {steps} steps, seed {seed}", file=sys.stderr)
            config = load_config(CONFIGS / "text.toml", changes)
            result = train(config, folder / f"text-{depth}-{steps}-{seed}")
            kept = ("loss", "parameters", "steps", "seconds")
            row = {name: result[name] for name in kept}
            rows.append({"proof": "text", "seed": seed, "depth": depth, "refeeding": steps, **row})
    return rows


def print_text(rows):
    """Prints nats of the rows of text."""
    print("\ntext: nats per character after equal time\n")
    print_heading("blocks | refeed steps | seed | nats | parameters | training steps")
    for row in rows:
        print(
            f"| {row['depth']} | {row['refeeding']} | {row['seed']} | {row['loss']:.3f} | "
            f"{row['parameters']:,} | {row['steps']:,} |"
        )
    print(flush=True)


def extreme(options, folder):
    """Trains on Sudoku-Extreme, or goes on; tests it with 16 and with 64 supervision steps."""
    from mdnn import load_config

    config = load_config(CONFIGS / "sudoku-extreme.toml", options.set)
    per_step = config.refeed.steps
    source = json.dumps(f"sudoku-9x9:{options.sudoku_extreme}")
    asked = {
        f"sudoku-9x9:{options.tests or options.sudoku_extreme}": [
            per_step * n for n in (1, 4, 16, 64)
        ]
    }
    changes = (f"data.source={source}",)
    resume = (folder / "config.toml").is_file()
    rows = learn("sudoku-extreme", config.seed, options, folder, asked, "", changes, resume)
    print_proof("sudoku-extreme", rows)
    return rows


def draw(rows, path):
    """Draws exact answers against steps, a plot for each proof, a line for each run, as a PNG."""
    import matplotlib.figure

    names = list(dict.fromkeys(row["proof"] for row in rows))
    size = (3.4 * len(names), 3.4)
    figure = matplotlib.figure.Figure(figsize=size, dpi=120, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = [row for row in rows if row["proof"] == name and not row["single"]]
        sources = list(dict.fromkeys(row["source"] for row in own))
        colours = ("#1f4e8c", "#c2572b", "#3d8c40")
        for row in own:
            colour = colours[sources.index(row["source"]) % len(colours)]
            label = row["source"] if row["seed"] == own[0]["seed"] else None
            steps = [point["steps"] for point in row["curve"]]
            shares = [100 * point["exact"] for point in row["curve"]]
            axes.plot(steps, shares, color=colour, label=label, marker="o", markersize=3)
        styles = dict(zip(SINGLES, ("--", ":"), strict=True))
        for row in rows:
            if row["proof"] == name and row["single"]:
                label = row["single"] if row["seed"] == rows[0]["seed"] else None
                share = 100 * row["curve"][0]["exact"]
                style = styles[row["single"]]
                axes.axhline(share, color="#777777", linewidth=1, linestyle=style, label=label)
        line = {"color": "#bbbbbb", "linewidth": 1, "zorder": 0}
        if own:
            axes.axvline(own[0]["trained"], **line, label="steps in training at most")
        axes.set(xscale="log", xlabel="steps", ylabel="exact answers, %", title=name)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylim(-3, 103)
        axes.grid(alpha=0.25)
        below = {"loc": "upper center", "bbox_to_anchor": (0.45, -0.2), "ncols": 2}
        axes.legend(frameon=False, fontsize=7, **below)
    figure.savefig(path, format="png")


if __name__ == "__main__":
    sys.exit(timed(main))
