"""One network at several densities, beside networks trained alone at each size.

Trains configs/text-grid.toml (or another config) with `train.density`, and each width alone: the
former once with the minutes of one single training and once with those of all of them. Prints the
loss on the validation text, the speed of writing and the parameters; then `--density auto`. A
run that is there already is not trained again.

`--kernels` measures instead from which density a random kernel pays: the product with the masked
matrix beside products with its live entries alone (gathered, sparse, in blocks).

    python benchmarks/density.py --source shakespeare.txt --minutes 2.5
    python benchmarks/density.py --minutes 0.2                 # a short look
    python benchmarks/density.py --kernels
"""

import functools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from benchmark_runs import benchmark_parser, print_heading, timed, trained_once

import mdnn
from mdnn.runtime import quiet_import

DENSITIES = (0.25, 0.5, 0.75, 1.0)


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "source", "set", minutes=2.5, runs="runs/density")
    parser.add_argument("--config", default="text-grid", help="the whole network (text-grid)")
    parser.add_argument("--steps", type=int, help="of training, in place of minutes")
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="texts written at once (16)")
    parser.add_argument("--characters", type=int, default=200_000, help="evaluated, at most")
    parser.add_argument("--kernels", action="store_true", help="random kernels instead")
    options = parser.parse_args()
    if options.kernels:
        return random_kernels()
    quiet_import(lambda: mdnn.configure_threads())
    compare(options)
    return 0


def compare(options):
    """Trains all networks and prints their table."""
    from mdnn.config.density import narrowed_config

    changes = [
        f"data.source={json.dumps(options.source)}",
        "train.sample=0",
        f"seed={options.seed}",
        *options.set,
    ]
    nested = f"train.density={list(options.densities)}"
    arms, several = {}, len(options.densities)
    for times in (1, several):
        more = [*changes, nested, budget(times, options)]
        arms[f"nested, {times} x"] = mdnn.load_config(options.config, more)
    whole = mdnn.load_config(options.config, [*changes, budget(1, options)])
    for density in options.densities:
        arms[f"alone {density:g}"] = narrowed_config(whole, density)
    runs = {}
    for name, config in arms.items():
        folder = Path(options.runs) / name.replace(" ", "-").replace(",", "")
        trained_once(folder, functools.partial(_trained, config, folder))
        runs[name] = folder
    splits = mdnn.open_text(options.source)
    text = splits.tokenizer.text(splits.validation[: options.characters])
    length = f"{options.steps:,} steps" if options.steps else f"{options.minutes:g} minutes"
    print(f"\n{options.config}, {Path(options.source).name}, {length} each\n")
    heads = [f"nested, {times} x the training" for times in (1, several)]
    print(f"| density | parameters | {' | '.join(heads)} | alone | characters/s |")
    print("|---|---|---|---|---|---|")
    for density in options.densities:
        losses = [
            mdnn.evaluate(runs[name], text, density=density, sliding=False)["loss"]
            for name in list(arms)[:2]
        ]
        alone = mdnn.evaluate(runs[f"alone {density:g}"], text, sliding=False)["loss"]
        narrow = mdnn.load(runs[f"alone {density:g}"])
        print(
            f"| {density:g} | {narrow.count_params():,} | "
            f"{' | '.join(f'{loss:.4f} ({loss - alone:+.4f})' for loss in losses)} | {alone:.4f} | "
            f"{speed(narrow, options.batch):,.0f} |"
        )
    for name in list(arms)[:2]:
        auto = mdnn.evaluate(runs[name], text, density="auto")
        print(f"\n{name}, auto: {auto['loss']:.4f} nats at mean density {auto['mean_density']:.2f}")


def _trained(config, folder, resume):
    return mdnn.train(config, folder, resume=resume)


def budget(times, options):
    """Returns the setting of some times the length of a training."""
    if options.steps:
        return f"train.steps={times * options.steps}"
    return f"train.minutes={times * options.minutes}"


def speed(network, batch, length=200, times=5):
    """Returns the characters per second of writing `batch` texts at once, a median."""
    from mdnn.generation.text_stream import TextStream
    from mdnn.runs.run_folder import open_run

    stream = TextStream(open_run(network))
    inputs = ["The "] * batch, [length] * batch, [0.8] * batch, list(range(batch))
    list(stream.write(*inputs))
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        list(stream.write(*inputs))
        found.append(batch * length / (time.perf_counter() - begun))
    return statistics.median(found)


def random_kernels(columns=2048, block=32):
    """Prints the time of products with random kernels relative to that of the whole matrix."""
    quiet_import()
    import tensorflow as tf

    print(f"{columns:,} columns; time relative to the masked product, blocks of {block}\n")
    print_heading("positions | density | masked, ms | gathered | sparse | blocks")
    rng = np.random.default_rng(0)
    for n in (256, 1024):
        x = tf.constant(rng.normal(size=(n, columns)), tf.float32)
        for density in (0.5, 0.25, 0.125, 0.0625, 0.03125):
            times = kernel_times(x, n, density, block, rng)
            base = times["masked"]
            others = " | ".join(f"{times[k] / base:.2f}" for k in ("gathered", "sparse", "blocks"))
            print(f"| {n} | {density:g} | {1000 * base:.2f} | {others} |", flush=True)
    return 0


def kernel_times(x, n, density, block, rng):
    """Returns the seconds of one product in each form, a dict."""
    import tensorflow as tf

    live = max(1, round(density * n))
    index = np.stack([rng.choice(n, live, replace=False) for _ in range(n)])
    values = rng.normal(size=(n, live)).astype("float32")
    matrix = np.zeros((n, n), "float32")
    np.put_along_axis(matrix, index, values, axis=1)
    places = np.stack([np.repeat(np.arange(n), live), np.sort(index, axis=1).reshape(-1)], 1)
    sparse = tf.sparse.SparseTensor(places, matrix[places[:, 0], places[:, 1]], (n, n))
    groups = max(1, round(density * n / block))
    chosen = np.stack([rng.choice(n // block, groups, replace=False) for _ in range(n // block)])
    kernels = tf.constant(rng.normal(size=(n // block, block, groups * block)), tf.float32)
    matrix, values = tf.constant(matrix), tf.constant(values)
    mask = tf.constant((matrix.numpy() != 0).astype("float32"))
    columns = x.shape[1]

    def blocks(x):
        parts = tf.gather(tf.reshape(x, (n // block, block, columns)), chosen)
        parts = tf.reshape(parts, (n // block, groups * block, columns))
        return tf.reshape(tf.matmul(kernels, parts), (n, columns))

    forms = {
        "masked": lambda x: tf.matmul(matrix * mask, x),
        "gathered": lambda x: tf.einsum("jk,jkc->jc", values, tf.gather(x, index)),
        "sparse": lambda x: tf.sparse.sparse_dense_matmul(sparse, x),
        "blocks": blocks,
    }
    found = {}
    for name, form in forms.items():
        # Gathered inputs of a whole batch may not fit.
        if name == "gathered" and n * live * columns > 2**28:
            found[name] = float("nan")
            continue
        function = tf.function(form)
        function(x)
        seconds = []
        for _ in range(7):
            begun = time.perf_counter()
            function(x).numpy()
            seconds.append(time.perf_counter() - begun)
        found[name] = statistics.median(seconds)
    return found


if __name__ == "__main__":
    sys.exit(timed(main))
