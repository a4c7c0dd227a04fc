"""Own subwords against characters alone and a BPE tokenizer: nats per character at equal time.

Trains the arms below for the same minutes, for every seed one after another in turns, so that what
disturbs one disturbs the others. Prints the loss of the whole validation text, characters/s in
training and steps. A run that is there already is not trained again, one that was stopped goes on:
stop the program and start it again as you like.

    python benchmarks/subwords.py --source shakespeare.txt --minutes 2.5 --seeds 1 2 3 --plot a.png
    python benchmarks/subwords.py --arms characters space --minutes 0.5 --seeds 1    # a short look

With --step-clock other work on the machine does not change a run: the steps of all arms are timed
in turns first, and each step of the trainings counts as that long.

The arm `blocks` is text-subwords.toml without its layer of chunks: what chunks bring. The arm
`ngrams` has tables of the last 2 to 5 characters in front. The arm `bpe` needs a vocabulary of
subword tokens (`tokens.subwords`); without it, it is left out. The arm `dropout` is text-grid.toml
with dropout 0.05 and weight decay 0.1 in place of weight decay 0.5.
"""

import dataclasses
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
from mdnn.config.network_tables import LayerTable
from mdnn.runtime import quiet_import

CUT = "backbone.layer.2.cut"
ARMS = {
    "characters": ("text-grid", []),
    "space": ("text-subwords", []),
    "surprise": ("text-subwords", [f"{CUT}=surprise"]),
    "learned": ("text-subwords", [f"{CUT}=learned"]),
    "blocks": ("text-subwords", []),
    "ngrams": ("text-subwords", []),
    "bpe": ("text-bpe", []),
    "dropout": (
        "text-grid",
        [f"backbone.layer.{k}.dropout=0.05" for k in (0, 1)] + ["train.optimizer.weight_decay=0.1"],
    ),
}
"""The config of each arm and what is changed in it."""

TABLES = LayerTable(kind="ngrams", lengths=(2, 3, 4, 5), rows=8192, width=32, dropout=0.2)
"""What the arm `ngrams` has before the layers of text-subwords.toml."""

COLOURS = {
    "characters": "#1f4e8c",
    "space": "#c2572b",
    "surprise": "#b8860b",
    "learned": "#3d8c40",
    "blocks": "#6b7280",
    "ngrams": "#a3a847",
    "bpe": "#7a5195",
    "dropout": "#5b9bd5",
}


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(
        __doc__,
        "source",
        "seeds",
        "set",
        "processor-time",
        "step-clock",
        minutes=2.5,
        runs="runs/subwords",
    )
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--plot", help="a file for the curves, a PNG")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    if options.processor_time:
        count_processor_time()
    configs = {arm: config_of(arm, 1, options) for arm in options.arms}
    arms = [arm for arm, config in configs.items() if config is not None]
    seconds = {}
    if options.step_clock:
        seconds = step_seconds_in_turns(Path(options.runs), {arm: configs[arm] for arm in arms})
    rows = [learn(arm, seed, options, seconds.get(arm)) for seed in options.seeds for arm in arms]
    print(f"\n{Path(options.source).name}, {options.minutes:g} minutes each\n")
    print_table(rows)
    if options.plot:
        draw(rows, options.plot)
    return 0


def config_of(arm, seed, options):
    """Returns the config of one arm with one seed; `None` for `bpe` without its vocabulary."""
    name, changes = ARMS[arm]
    more = ["train.num_evaluations=20", *options.set]
    changes = [*changes, *run_changes(options.source, options.minutes, seed, *more)]
    try:
        config = mdnn.load_config(CONFIGS / f"{name}.toml", changes)
    except mdnn.MdnnError as error:
        if arm != "bpe":
            raise
        print(f"bpe is left out: {error}", file=sys.stderr)
        return None
    layers = config.backbone.layer
    if arm == "blocks":
        layers = tuple(layer for layer in layers if layer.kind != "chunks")
    elif arm == "ngrams":
        layers = (TABLES, *layers)
    backbone = dataclasses.replace(config.backbone, layer=layers)
    return dataclasses.replace(config, backbone=backbone)


def learn(arm, seed, options, seconds=None):
    """Trains one arm with one seed, or takes the run that is there; returns its figures.

    Args:
        seconds: float, what each of its steps counts; `None`: what it takes.
    """
    if seconds:
        count_step_seconds(lambda config: seconds)
    config = config_of(arm, seed, options)
    folder = Path(options.runs) / f"{arm}-{options.minutes:g}-{seed}"
    result = trained_once(folder, lambda resume: mdnn.train(config, folder, resume=resume))
    return {"arm": arm, "seed": seed, **result, "curve": validation_curve(folder)}


def print_table(rows):
    """Prints a row for each arm: means over the seeds, each seed's loss, and the differences."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    loss = {(row["arm"], row["seed"]): row["loss"] for row in rows}
    print("| arm | weights | nats per character, each seed | mean | against characters ", end="")
    print("| characters/s | steps |\n|---|---|---|---|---|---|---|")
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        pairs = [
            row["loss"] - loss["characters", row["seed"]]
            for row in own
            if arm != "characters" and ("characters", row["seed"]) in loss
        ]
        against = f"{np.mean(pairs):+.4f}" if pairs else ""
        print(
            f"| {arm} | {own[0]['parameters']:,} | "
            f"{', '.join(format(row['loss'], '.4f') for row in own)} | "
            f"{np.mean([row['loss'] for row in own]):.4f} | {against} | "
            f"{np.mean([row['characters_per_second'] for row in own]):,.0f} | "
            f"{', '.join(format(row['steps'], ',') for row in own)} |"
        )


def draw(rows, path):
    """Draws validation loss against seconds, a line for each run."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes, seen = figure.add_subplot(), set()
    for row in rows:
        label = None if row["arm"] in seen else row["arm"]
        seen.add(row["arm"])
        if row["curve"]:
            axes.plot(*zip(*row["curve"], strict=True), color=COLOURS[row["arm"]], label=label)
    lowest = min((nats for row in rows for _, nats in row["curve"]), default=1.0)
    axes.set(xlabel="seconds", ylabel="validation nats per character")
    axes.set_ylim(lowest - 0.03, lowest + 0.6)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(timed(main))
