"""Is the context used? Nats per character against the position in the context.

Trains configs/long.toml on a text with contexts of several lengths for the same time each, measures
the loss of the validation text by position, and draws one curve for each length: where a longer
context is used, its curve falls further.

    python benchmarks/positions.py --text pepys.txt --minutes 10 --json positions.json \
        --plot positions.png
"""

import sys
import tempfile
from pathlib import Path

from benchmark_runs import CONFIGS, KeptRows, benchmark_parser, timed

CONFIG = CONFIGS / "long.toml"
GRIDS = {
    256: [16, 16],
    1024: [32, 32],
    4096: [16, 16, 16],
    32768: [32, 32, 32],
    65536: [16, 16, 16, 16],
    524288: [16, 32, 32, 32],
}
AT_ONCE = 32_768
"""Characters of a training step, but at least a context."""


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "text", minutes=5.0)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 4096, 32768])
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="characters of a step (32768)")
    parser.add_argument("--evaluate", type=int, default=0, help="characters to evaluate (all)")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the config")
    parser.add_argument("--json", help="a file for all figures, read when a run goes on")
    parser.add_argument("--plot", help="a PNG of the curves")
    options = parser.parse_args()
    from mdnn.runtime import quiet_import

    quiet_import()
    from mdnn.tasks.positions.position_curve import write_curve

    rows = KeptRows(options.json)
    for number, length in enumerate(options.lengths, 1):
        if rows.has({"length": length}):
            continue
        print(f"{number} of {len(options.lengths)}: {length:,} positions", file=sys.stderr)
        rows.add({"length": length, **measured(length, options)})
    show(rows)
    if options.plot:
        write_curve(
            options.plot,
            {f"a context of {row['length']:,}": row["by_position"] for row in rows},
        )
    return 0


def measured(length, options):
    """Trains and evaluates one network; returns a dict of figures."""
    import mdnn

    settings = [f"data.source={options.text}", f"train.minutes={options.minutes}"]
    settings += [f"context.grid={GRIDS[length]}", "train.final_evaluation=1", "train.sample=0"]
    settings += [f"train.batch_size={max(1, options.at_once // length)}"]
    config = mdnn.load_config(CONFIG, [*settings, *options.set])
    with tempfile.TemporaryDirectory() as folder:
        trained = mdnn.train(config, Path(folder) / "run")
        text = None
        if options.evaluate:
            splits = mdnn.open_text(options.text)
            text = splits.tokenizer.text(splits.validation[: options.evaluate])
        result = mdnn.evaluate(Path(folder) / "run", text, sliding=False, by_position=True)
    names = ("loss", "characters", "by_position")
    return {"steps": trained["steps"], **{name: result[name] for name in names}}


def show(rows):
    """Prints a line for each range of positions and a column for each length."""
    longest = max(rows, key=lambda row: row["length"])
    ranges = [(row["first"], row["last"]) for row in longest["by_position"]]
    print("| positions | " + " | ".join(f"{row['length']:,}" for row in rows) + " |")
    print("|---|" + "---|" * len(rows))
    for first, last in ranges:
        line = []
        for row in rows:
            inside = [r for r in row["by_position"] if first <= r["first"] and r["last"] <= last]
            count = sum(r["characters"] for r in inside)
            mean = sum(r["loss"] * r["characters"] for r in inside) / max(1, count)
            line.append(f"{mean:.3f}" if inside else "")
        print(f"| {first:,} to {last:,} | " + " | ".join(line) + " |")
    print("| all | " + " | ".join(f"{row['loss']:.3f}" for row in rows) + " |")
    print("| steps | " + " | ".join(f"{row['steps']:,}" for row in rows) + " |")


if __name__ == "__main__":
    sys.exit(timed(main))
