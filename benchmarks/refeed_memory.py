"""What gradients through the last K of R steps cost in memory: it grows with K, and not with R.

Takes the refed stack of a config and prints, for some R and K, the most memory that its outputs and
gradients take beside the weights and the input:

    python benchmarks/refeed_memory.py
    KERAS_BACKEND=jax python benchmarks/refeed_memory.py configs/maze.toml --batch 32
"""

import sys
from pathlib import Path

from benchmark_runs import CONFIGS, benchmark_parser, timed, write_figures

STEPS, BACKPROP = (8, 32, 128), (1, 2, 4, 8)


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "json")
    default = CONFIGS / "prefix-sums.toml"
    parser.add_argument("config", nargs="?", help="a config file", default=default)
    parser.add_argument("--batch", type=int, default=64, help="contexts at once (default 64)")
    options = parser.parse_args()
    from mdnn.runtime import quiet_import

    quiet_import()

    found = [measured(options.config, options.batch, last) for last in BACKPROP]
    print(f"\n{Path(options.config).name}, batch {options.batch}: megabytes\n")
    print("| K, steps with gradients | " + " | ".join(f"R = {n}" for n in STEPS) + " |")
    print("|---" * (len(STEPS) + 1) + "|")
    pairs = list(zip(BACKPROP, found, strict=True))
    for last, row in pairs:
        cells = ("not counted" if n is None else f"{n / 1e6:.1f}" for n in row)
        print(f"| {last} | " + " | ".join(cells) + " |")
    write_figures(options.json, {last: dict(zip(STEPS, row, strict=True)) for last, row in pairs})
    return 0


def measured(path, batch, last):
    """Bytes for each R of `STEPS` with gradients through the last steps; `None`: not counted."""
    from compiled import peak_bytes, with_gradients
    from keras import ops

    from mdnn import MdnnError, build, load_config

    changes = [f"refeed.steps={STEPS[-1]}", f"refeed.bptt_steps={last}"]
    network = build(load_config(path, changes))
    if network.refeed is None:
        raise MdnnError(f"{path}: expected a network that is refed")
    refeed = network.refeed
    x = ops.zeros((batch, *network.grid, network.width)) + 0.1
    kernels = [variable.value for variable in refeed.trainable_variables]
    fixed = [variable.value for variable in refeed.non_trainable_variables]

    def bytes_of(steps):
        def function(x, kernels):
            return refeed.stateless_call(kernels, fixed, x, steps=steps)[0]

        return peak_bytes(with_gradients(function), x, kernels, ops.ones_like(x))

    return [bytes_of(steps) for steps in STEPS]


if __name__ == "__main__":
    sys.exit(timed(main))
