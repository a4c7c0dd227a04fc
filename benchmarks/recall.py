"""Recall: which networks find again what a context said.

Trains small networks on the tasks of `context.layout = "recall"`, each in a process of its own, and
prints the share of answers right: by default values of keys (MQAR), for several numbers of pairs.

    python benchmarks/recall.py --pairs 8 32 128 512 --minutes 2 --json recall.json
    python benchmarks/recall.py --kind copying --json recall.json
    python benchmarks/recall.py --kind needle --text diary.txt --lengths 1024 --json recall.json

A run that was stopped goes on with what its JSON file has. Networks:

- plain: causal kernels over two axes, dense layers between; nothing is multiplied by anything.
- gates: the same with gates (silu(u) times the mixed values); the gate of the second layer is of a
  stream that is mixed already, so that two mixed streams are multiplied.
- refeeding: gates, the backbone run four times on its own output.
- keys: gates, and the mixer `keys` beside the kernels.
- previous: the same, whose keys are those of the previous position, with more features.
- attention: gates, and attention over all positions in place of the kernels, for comparison.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmark_runs import CONFIGS, KeptRows, ProcessError, benchmark_parser, in_own_process, timed

DENSE = '{wiring="causal+shift", groups=8, init_std=0.02}'
KEYS = '{kind="keys", heads=1}'
PREVIOUS = '{kind="keys", match="previous", heads=2, features=FEATURES, sharpness=8.0}'
NETWORKS = {
    "plain": [f"backbone.layer.0.mixer=[{DENSE}]", "backbone.layer.0.gate=none"],
    "gates": [f"backbone.layer.0.mixer=[{DENSE}]"],
    "refeeding": [f"backbone.layer.0.mixer=[{DENSE}]", "refeed.steps=4"],
    "keys": [f"backbone.layer.0.mixer=[{DENSE}, {KEYS}]"],
    "previous": [f"backbone.layer.0.mixer=[{DENSE}, {PREVIOUS}]"],
    "attention": ['backbone.layer.0.mixer=[{kind="attention", heads=2}]'],
}
ROW = 16
"""Positions of a row of short contexts."""


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, minutes=2.0)
    parser.add_argument("--kind", default="pairs", choices=("pairs", "copying", "needle"))
    parser.add_argument("--pairs", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--text", default="python-docs", help="the text around needles")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of all configs")
    parser.add_argument("--json", help="a file for all figures, read when a run goes on")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(trained(json.loads(options.worker))))
        return 0
    rows = KeptRows(options.json)
    sizes = options.pairs if options.kind == "pairs" else options.lengths
    cases = [
        {"kind": options.kind, "size": size, "network": name, "minutes": options.minutes}
        for size in sizes
        for name in options.networks
    ]
    for number, case in enumerate(cases, 1):
        if rows.has(case):
            continue
        print(f"{number} of {len(cases)}: {case['network']}, {case['size']:,}", file=sys.stderr)
        settings = settings_of(case, options.text) + options.set
        try:
            worker = json.dumps([case["kind"], settings])
            rows.add(case | in_own_process(__file__, "--worker", worker))
        except ProcessError as error:
            print(f"{case['network']}, {case['size']:,}: left out: {error}", file=sys.stderr)
    show([row for row in rows if row["kind"] == options.kind])
    return 0


def settings_of(case, text):
    """Returns the settings of a case over its config."""
    size = case["size"]
    positions = max(4 * size, 2 * ROW) if case["kind"] == "pairs" else size
    flat = case["network"] == "attention"
    row = ROW if positions < 256 else 64
    grid = [positions] if flat else [positions // row, row]
    settings = [f"context.grid={grid}", f"train.minutes={case['minutes']}", f"data.source={text}"]
    settings.append(f"train.batch_size={max(1, min(32, 8192 // positions))}")
    # Evaluating must not take the time that is for learning.
    settings += [f"recall.contexts={max(16, min(256, 8192 // size))}", "train.num_evaluations=4"]
    if case["kind"] == "pairs":
        settings += [f"recall.pairs={size}", f"recall.keys={max(1024, 2 * size)}"]
    # Features by which that many keys can be told apart.
    features = max(128, 2 * size) if case["kind"] == "pairs" else 512
    own = [setting.replace("FEATURES", f"{features}") for setting in NETWORKS[case["network"]]]
    return settings + own


def trained(case):
    """Trains a network; returns a dict of figures."""
    from mdnn.runtime import quiet_import

    quiet_import()
    import mdnn

    kind, settings = case
    config = mdnn.load_config(CONFIGS / f"recall-{kind}.toml", settings)
    with tempfile.TemporaryDirectory() as folder:
        result = mdnn.train(config, Path(folder) / "run", show=False)
    names = ("right", "exact", "loss", "answers", "steps")
    return {name: result[name] for name in names if name in result}


def show(rows):
    """Prints a line for each network and a column for each size."""
    sizes = sorted({row["size"] for row in rows})
    print("\n| network | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for name in NETWORKS:
        found = {row["size"]: f"{row['right']:.1%}" for row in rows if row["network"] == name}
        if found:
            print(f"| {name} | " + " | ".join(found.get(size, "") for size in sizes) + " |")


if __name__ == "__main__":
    sys.exit(main() if "--worker" in sys.argv else timed(main))
