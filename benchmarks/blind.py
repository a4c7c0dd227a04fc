"""What training without gradients learns, beside backpropagation with the same network and time.

Two small networks, a puzzle (prefix sums of 16 bits, 4 refeed steps) and a text (the Python
documentation at hand), each trained by backpropagation, by evolution strategies with float32
weights, and with int8 weights. Each row is a run of `mdnn train` in a process of its own. Prints
validation losses, what part of the puzzles is solved, steps and seconds:

    python benchmarks/blind.py
    python benchmarks/blind.py --minutes 5 --pairs 128
"""

import json
import subprocess
import sys
import tempfile

from benchmark_runs import CONFIGS, benchmark_parser, print_heading, timed, write_figures

NETWORKS = {
    "prefix-sums-16": (
        "prefix-sums",
        "data.source=prefix-sums-16",
        "context.grid=[16]",
        "refeed.steps=4",
        "refeed.bptt_steps=0",
        "refeed.step_schedule=fixed",
        "train.ema_decay=0",
    ),
    "text": (
        "text",
        "data.source=python-docs",
        "backbone.width=32",
        "backbone.depth=2",
        "backbone.layer.1.width=64",
        "train.sample=0",
    ),
}
METHODS = {
    "backpropagation": (),
    "blind": ("train.method=blind", "train.optimizer.weight_decay=0"),
    "blind, int8": (
        "train.method=blind",
        "train.optimizer.weight_decay=0",
        "train.blind.weights=int8",
    ),
}


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "json", minutes=2.0)
    parser.add_argument("--pairs", type=int, default=32, help="train.blind.pairs (default 32)")
    parser.add_argument("--rate", type=float, default=1e-2, help="learning rate of blind rows")
    options = parser.parse_args()
    print_heading("network | weights | method | nats | solved | steps | ms per step")
    rows = []
    for network, (config, *settings) in NETWORKS.items():
        for method, changes in METHODS.items():
            blind = [
                f"train.blind.pairs={options.pairs}",
                f"train.optimizer.learning_rate={options.rate}",
            ]
            words = [
                *settings,
                *changes,
                *(blind if changes else ()),
                f"train.minutes={options.minutes}",
            ]
            result = trained(CONFIGS / f"{config}.toml", words)
            rows.append({"network": network, "method": method, **result})
            right = result.get("exact")
            print(
                f"| {network} | {result['parameters']:,} | {method} | {result['loss']:.4f} | "
                f"{'' if right is None else f'{right:.1%}'} | {result['steps']:,} | "
                f"{1e3 * result['seconds'] / result['steps']:.0f} |",
                flush=True,
            )
    write_figures(options.json, rows)
    return 0


def trained(config, settings):
    """The result of `mdnn train` with `KEY=VALUE` settings, a dict."""
    words = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mdnn", "train", str(config), "--out", f"{scratch}/run"]
        done = subprocess.run(
            [*command, "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(timed(main))
