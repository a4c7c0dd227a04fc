"""Training a part of the weights at a time, beside training all of them.

Trains one config in every way for the same minutes, one after another, and prints milliseconds per
step, the bytes of the optimizer's state, steps, and the loss on the whole validation text. A run
that is there already is not trained again.

    python benchmarks/partial.py --source shakespeare.txt --minutes 2.5
    python benchmarks/partial.py --minutes 0.3 --seeds 1          # a short look
"""

import argparse
import json
import sys
from pathlib import Path

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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="text-grid", help="a config of depth 4 (text-grid)")
    parser.add_argument("--source", default="python-docs", help="the text (python-docs)")
    parser.add_argument("--minutes", type=float, default=2.5, help="for each run (2.5)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="a run for each")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--every", type=int, default=100, help="steps until others train (100)")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, for every run")
    parser.add_argument("--runs", default="runs/partial", help="where runs are kept")
    options = parser.parse_args()
    quiet_import(lambda: mdnn.configure_threads())
    print("| way | seed | ms per step | optimizer, bytes | steps | nats | beside all |")
    print("|---|---|---|---|---|---|---|")
    try:
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
    except mdnn.MdnnError as error:
        print(f"benchmarks/partial.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def learn(way, seed, options):
    """Trains in one way, or takes the run that is there; returns its figures."""
    from mdnn.runs.safetensors_io import read_arrays
    from mdnn.training import checkpoint

    name = way.replace(", ", "-").replace(" ", "-")
    folder = Path(options.runs) / f"{name}-{options.minutes:g}-{seed}"
    done = folder / "result.json"
    if not done.is_file():
        changes = [
            f"train.minutes={options.minutes}",
            f"data.source={json.dumps(options.source)}",
            "train.sample=0",
            f"seed={seed}",
            f"train.partial.every={options.every}",
            *WAYS[way],
            *options.set,
        ]
        config = mdnn.load_config(options.config, changes)
        result = mdnn.train(config, folder, resume=(folder / "config.toml").is_file())
        if result["stopped"]:
            raise KeyboardInterrupt
        arrays, _ = read_arrays(checkpoint.newest(folder))
        state = [array for key, array in arrays.items() if key.startswith("optimizer/")]
        result["state"] = sum(array.nbytes for array in state)
        done.write_text(json.dumps(result), encoding="utf-8")
    return json.loads(done.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
