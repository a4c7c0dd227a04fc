"""A needle: one sentence with a number, asked for at the end of contexts of growing length.

Trains configs/recall-needle.toml on a text (or takes the run that is there), then makes its context
longer (`mdnn grow`) and asks for the number of a sentence at a random place among pieces of the
text's validation part. No weight changes between the rows. Prints the share of numbers of which
all digits are right:

    python benchmarks/needle.py --text diary.txt --run runs/needle --json needle.json

Rows that the JSON file has are not measured again.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmark_runs import CONFIGS, KeptRows, benchmark_parser, timed

CONFIG = CONFIGS / "recall-needle.toml"


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "text", "minutes", "json", "set")
    parser.add_argument(
        "--positions",
        type=int,
        nargs="+",
        default=[16_384, 131_072, 1_048_576],
        help="lengths of contexts, at least those of training, multiples of a row",
    )
    parser.add_argument("--contexts", type=int, default=16, help="of each length (default 16)")
    parser.add_argument("--run", help="a run folder to train into, or that is trained already")
    options = parser.parse_args()
    from mdnn.runtime import quiet_import

    quiet_import()
    rows = KeptRows(options.json)
    with tempfile.TemporaryDirectory() as folder:
        run = trained_run(options, Path(options.run or Path(folder) / "run"))
        for positions in options.positions:
            case = {"positions": positions, "contexts": options.contexts}
            if not rows.has(case):
                rows.add(case | asked(run, positions, options.contexts, Path(folder) / "long"))
    print("\n| positions | numbers right | nats per digit | contexts | seconds each |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['positions']:,} | {row['right']:.0%} | {row['loss']:.3f} "
            f"| {row['drawn']} | {row['seconds']:.1f} |"
        )
    return 0


def trained_run(options, run):
    """Returns the folder of a trained run, training it unless it is there."""
    import mdnn

    if not (run / "run.json").is_file():
        changes = [f"data.source={options.text}", *options.set]
        if options.minutes:
            changes.append(f"train.minutes={options.minutes}")
        mdnn.train(mdnn.load_config(CONFIG, changes), run)
    return run


def asked(run, positions, contexts, longer):
    """Returns the figures of a run whose context is made longer, a dict."""
    import mdnn

    shutil.rmtree(longer, ignore_errors=True)
    row = mdnn.load(run).config.context.grid[-1]
    changes = [f"context.grid=[{positions // row},{row}]", f"recall.contexts={contexts}"]
    # One needle among the text; in training there are several.
    mdnn.grow(run, longer, overrides=[*changes, "recall.needles=1", "recall.queries=0"])
    start = time.perf_counter()
    figures = mdnn.evaluate(longer)
    seconds = (time.perf_counter() - start) / figures["contexts"]
    asked_in = {name: figures[name] for name in ("right", "loss")}
    return asked_in | {"drawn": figures["contexts"], "seconds": seconds}


if __name__ == "__main__":
    sys.exit(timed(main))
