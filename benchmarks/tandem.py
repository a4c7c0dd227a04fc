"""Networks in tandem: members, ensemble and student against one network, at equal time.

Trains each arm for the same minutes, seed after seed in turns, and a student of the four for as
long again. Prints the loss on the whole validation text of each member (their mean and the
best), of the ensemble and of the student, and the size on disk. A run that is there already is not
trained again, and one that was stopped goes on.

With --step-clock other work on the machine does not change a run: the steps of all arms are timed
in turns first, and each step of the trainings counts as that long.

    python benchmarks/tandem.py --source shakespeare.txt --minutes 10 --seeds 1 2 3 --plot a.png
    python benchmarks/tandem.py --arms one four --minutes 2 --seeds 1
    python benchmarks/tandem.py --size --source shakespeare.txt     # ten members: disk, memory
"""

import json
import sys
from pathlib import Path

import numpy as np
from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    count_step_seconds,
    print_heading,
    run_changes,
    step_seconds_in_turns,
    timed,
    trained_once,
)
from tandem_size import print_sizes

import mdnn
from mdnn.runtime import quiet_import

SMALL = ["backbone.width=32", "backbone.layer.1.width=64"]
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
    parser = benchmark_parser(
        __doc__, "source", "seeds", "set", "step-clock", minutes=10.0, runs="runs/tandem"
    )
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--no-student", action="store_true", help="train no student of the four")
    parser.add_argument("--size", action="store_true", help="only the sizes of the largest config")
    parser.add_argument("--plot", help="a file for the picture, a PNG")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    if options.size:
        print_sizes(options.source, options.runs, options.set)
        return 0
    clock = StepClock(options) if options.step_clock else None
    rows = [measured(arm, seed, options, clock) for seed in options.seeds for arm in options.arms]
    print(f"\n{Path(options.source).name}, {options.minutes:g} minutes each\n")
    print_heading("arm | seed | weights | members, mean | best | together | student | steps")
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


def config_of(arm, seed, options):
    """Returns the config of one arm with one seed."""
    changes = run_changes(options.source, options.minutes, seed, *ARMS[arm], *options.set)
    return mdnn.load_config(CONFIGS / "text-grid.toml", changes)


class StepClock:
    """Counts each step of a training as long as it takes when steps are timed in turns.

    Args:
        options: the command's options; `step-seconds.json` in `--runs` keeps the seconds.
    """

    def __init__(self, options):
        self.options, self.folder = options, Path(options.runs)
        configs = {arm: config_of(arm, 1, options) for arm in options.arms}
        self.seconds = step_seconds_in_turns(self.folder, configs)

    def count(self, arm):
        """Makes the trainings that follow count the seconds of an arm's steps."""
        count_step_seconds(lambda config: self.seconds[arm])

    def count_student(self, teacher):
        """Does so for a student of the run folder `teacher`."""
        if "student" not in self.seconds:
            from mdnn.training.adapting.distill_run import student_config

            self.seconds |= step_seconds_in_turns(self.folder, {"student": student_config(teacher)})
        self.count("student")


def measured(arm, seed, options, clock=None):
    """Returns the figures of one arm with one seed; trains what is not there.

    Args:
        clock: `StepClock`; `None`: trainings count the time that they take.
    """
    folder = Path(options.runs) / f"{arm.replace(' ', '-')}-{options.minutes:g}-{seed}"
    budget = [f"train.minutes={options.minutes}"]
    config = config_of(arm, seed, options)
    if clock:
        clock.count(arm)
    result = trained_once(folder, lambda resume: mdnn.train(config, folder, resume=resume))
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
        if clock:
            clock.count_student(folder)

        def teach(resume):
            if resume:
                return mdnn.train(path / "config.toml", path, resume=True)
            return mdnn.distill(folder, path, overrides=budget)

        student = trained_once(path, teach)["loss"]
    members = json.loads(file.read_text(encoding="utf-8"))
    return {"arm": arm, "seed": seed, **result, "members": members, "student": student}


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
    sys.exit(timed(main))
