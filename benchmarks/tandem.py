"""Networks in tandem: members, ensemble and student against one network, at equal time.

Trains each arm for the same minutes, seed after seed in turns, and a student of the four for as
long again. Prints the loss on the whole validation text of each member (their mean and the
best), of the ensemble and of the student, and the size on disk. A run that is there already is not
trained again, and one that was stopped goes on.

    python benchmarks/tandem.py --source shakespeare.txt --minutes 10 --seeds 1 2 3 --plot a.png
    python benchmarks/tandem.py --arms one four --minutes 2 --seeds 1
    python benchmarks/tandem.py --size --source shakespeare.txt     # ten members: disk, memory
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from tandem_size import print_sizes

import mdnn
from mdnn.runtime import quiet_import

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = ["backbone.width=48", "backbone.depth=3", "backbone.layer.1.width=96"]
ARMS = {
    "one": [],
    "four": ["tandem.members=4", "tandem.exchange=1"],
    "four alone": ["tandem.members=4"],
    "ten small": [*SMALL, "tandem.members=10", "tandem.exchange=1"],
    "ten small alone": [*SMALL, "tandem.members=10"],
}
"""What each arm changes in configs/text-grid.toml."""


def main():
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="python-docs", help="the text (default python-docs)")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each run (default 10)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="a run for each")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, for every run")
    parser.add_argument("--runs", default="runs/tandem", help="where runs are kept")
    parser.add_argument("--no-student", action="store_true", help="train no student of the four")
    parser.add_argument("--size", action="store_true", help="only the sizes of the largest config")
    parser.add_argument("--plot", help="a file for the picture, a PNG")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    try:
        if options.size:
            print_sizes(options.source, options.runs, options.set)
            return 0
        rows = [measured(arm, seed, options) for seed in options.seeds for arm in options.arms]
    except mdnn.MdnnError as error:
        print(f"benchmarks/tandem.py: error: {error}", file=sys.stderr)
        return 2
    print(f"\n{Path(options.source).name}, {options.minutes:g} minutes each\n")
    print("| arm | seed | weights | members, mean | best | together | student | steps |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        student = "" if row["student"] is None else f"{row['student']:.4f}"
        print(
            f"| {row['arm']} | {row['seed']} | {row['parameters']:,} | "
            f"{np.mean(row['members']):.4f} | {min(row['members']):.4f} | {row['loss']:.4f} | "
            f"{student} | {row['steps']:,} |"
        )
    if options.plot:
        draw(rows, options.plot)
    return 0


def measured(arm, seed, options):
    """Returns the figures of one arm with one seed; trains what is not there."""
    folder = Path(options.runs) / f"{arm.replace(' ', '-')}-{options.minutes:g}-{seed}"
    budget = [f"train.minutes={options.minutes}"]
    changes = [
        f"data.source={json.dumps(options.source)}",
        "train.sample=0",
        f"seed={seed}",
        *ARMS[arm],
        *budget,
        *options.set,
    ]
    config = mdnn.load_config(CONFIGS / "text-grid.toml", changes)
    result = trained(folder, lambda resume: mdnn.train(config, folder, resume=resume))
    file = folder / "members.json"
    if not file.is_file():
        from mdnn.runs.run_folder import open_run

        run, count = open_run(folder), config.tandem.members
        numbers = range(count) if count else [None]
        losses = [mdnn.evaluate(run.member(k), sliding=False)["loss"] for k in numbers]
        file.write_text(json.dumps(losses), encoding="utf-8")
    student = None
    if arm == "four" and not options.no_student:
        path = folder.with_name(f"{folder.name}-student")

        def teach(resume):
            if resume:
                return mdnn.train(path / "config.toml", path, resume=True)
            return mdnn.distill(folder, path, overrides=budget)

        student = trained(path, teach)["loss"]
    members = json.loads(file.read_text(encoding="utf-8"))
    return {"arm": arm, "seed": seed, **result, "members": members, "student": student}


def trained(folder, train):
    """Returns the result of a training in a folder, which is run unless it is there."""
    done = folder / "result.json"
    if not done.is_file():
        print(folder.name, file=sys.stderr)
        result = train((folder / "config.toml").is_file())
        if result["stopped"]:
            raise KeyboardInterrupt
        done.write_text(json.dumps(result), encoding="utf-8")
    return json.loads(done.read_text(encoding="utf-8"))


def draw(rows, path):
    """Draws the losses of members, ensemble and student of each arm."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(7, 3.5), dpi=120, layout="constrained")
    axes, arms = figure.add_subplot(), list(dict.fromkeys(row["arm"] for row in rows))
    for row in rows:
        x = arms.index(row["arm"]) + 0.12 * (row["seed"] - 1)
        axes.plot([x] * len(row["members"]), row["members"], "o", color="#9db4d3", markersize=4)
        axes.plot([x], [row["loss"]], "o", color="#1f4e8c")
        if row["student"] is not None:
            axes.plot([x], [row["student"]], "^", color="#c2572b")
    axes.set_xticks(range(len(arms)), arms)
    axes.set_ylabel("validation nats per character")
    axes.set_title("members (light), together (dark), student (triangle)", fontsize=9)
    axes.grid(alpha=0.25, axis="y")
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
