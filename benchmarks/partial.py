"""Training a part of the weights at a time, beside training all of them.

Trains one config in every way for the same minutes, one after another, and prints milliseconds per
step, the bytes of the optimizer's state, steps, and the loss on the whole validation text. A run
that is there already is not trained again.

    python benchmarks/partial.py --source shakespeare.txt --minutes 2.5
    python benchmarks/partial.py --minutes 0.3 --seeds 1          # a short look
"""

import sys
from pathlib import Path

from benchmark_runs import benchmark_parser, print_heading, run_changes, timed, trained_once

import mdnn
from mdnn.runtime import quiet_import

WAYS = {
    "all": [],
    "random, 2 of 4": ['train.partial.select="random"', "train.partial.blocks=2"],
    "random, 1 of 4": ['train.partial.select="random"', "train.partial.blocks=1"],
    "top, 2 of 4": ['train.partial.select="top"', "train.partial.blocks=2"],
}


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "source", "seeds", "set", minutes=2.5, runs="runs/partial")
    parser.add_argument("--config", default="text-grid", help="a config of depth 4 (text-grid)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--every", type=int, default=100, help="steps until others train (100)")
    options = parser.parse_args()
    quiet_import(lambda: mdnn.configure_threads())
    print_heading("way | seed | ms per step | optimizer, bytes | steps | nats | beside all")
    for seed in options.seeds:
        whole = None
        for way in options.ways:
            found = learn(way, seed, options)
            whole = found["loss"] if whole is None else whole
            print(
                f"| {way} | {seed} | {1000 * found['seconds'] / found['steps']:.1f} | "
                f"{found['state']:,} | {found['steps']:,} | {found['loss']:.4f} | "
                f"{found['loss'] - whole:+.4f} |",
                flush=True,
            )
    return 0


def learn(way, seed, options):
    """Trains in one way, or takes the run that is there; returns its figures."""
    from mdnn.runs.safetensors_io import read_arrays
    from mdnn.training import checkpoint

    name = way.replace(", ", "-").replace(" ", "-")
    folder = Path(options.runs) / f"{name}-{options.minutes:g}-{seed}"
    every = [f"train.partial.every={options.every}"] * way.startswith("random")
    more = [*WAYS[way], *every, *options.set]
    changes = run_changes(options.source, options.minutes, seed, *more)
    config = mdnn.load_config(options.config, changes)

    def state_bytes():
        arrays, _ = read_arrays(checkpoint.newest(folder))
        state = [array for key, array in arrays.items() if key.startswith("optimizer/")]
        return {"state": sum(array.nbytes for array in state)}

    def train(resume):
        return mdnn.train(config, folder, resume=resume)

    return trained_once(folder, train, state_bytes)


if __name__ == "__main__":
    sys.exit(timed(main))
