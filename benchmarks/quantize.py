"""What small weights cost and what they save: the README's table, and why they are as they are.

Trains a config (or takes a run), makes small ones of it, and prints of each: bytes of its weights
and of its SavedModel, nats per character (whole validation part, consecutive windows), characters
per second of both, each in turns with the float32 one's, and the memory that a process holds after
it has written, beyond what importing TensorFlow takes. Beside them, Keras' own quantization of the
dense layers, the rest in float32; and one dense layer alone, in every way. Run it on a machine
that does nothing else:

    python benchmarks/quantize.py
    python benchmarks/quantize.py --run runs/mine --rows int4 keras-int4
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmark_runs import CONFIGS, benchmark_parser, in_own_process, timed, write_figures

from mdnn.runtime import quiet_import

ROWS = ("float16", "int8", "int4", "keras-int8", "keras-int4")
# Inputs and outputs of a dense layer beside those of the network, and how many vectors at once.
LARGE, VECTORS = (1024, 1024), (1, 64, 768)
CHARACTERS, ROUNDS, CALLS = 300, 3, 40


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "source", "json", minutes=2.0)
    config = CONFIGS / "text.toml"
    parser.add_argument("config", nargs="?", default=config, help="default configs/text.toml")
    parser.add_argument("--run", help="a run folder of a text network, instead of training one")
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS, help="default: all")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    quiet_import()

    if options.memory:
        print(memory(*options.memory))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run or trained(options, Path(scratch) / "run")
        rows = of_runs(run, options.rows, Path(scratch))
        layers = of_layers(run)
    print_runs(rows)
    print_layers(layers)
    write_figures(options.json, {"runs": rows, "layers": layers})
    return 0


def trained(options, path):
    """Trains the config; returns the run folder."""
    from mdnn import load_config, train

    source = f"data.source={json.dumps(options.source)}"
    changes = [f"train.minutes={options.minutes}", source, "train.sample=0"]
    return train(load_config(options.config, changes), path)["run"]


def of_runs(whole, names, scratch):
    """What is measured of the run and of the small ones, a list of dicts."""
    import mdnn
    from mdnn.cli.comparison import speeds
    from mdnn.runs.run_folder import open_run

    base = open_run(whole)
    rows, first = [], mdnn.export(base, scratch / "served-float32")
    for name in ("float32", *names):
        print(name, file=sys.stderr)
        keras_mode = name.partition("keras-")[2]
        if keras_mode:
            run, path = in_keras(base, keras_mode), None
        elif name == "float32":
            run, path = base, first
        else:
            run = open_run(mdnn.quantize(base, name, scratch / name))
            path = mdnn.export(run, scratch / f"served-{name}")
        row = {"weights": name, "bytes": weights_bytes(run, keras_mode)}
        row["loss"] = mdnn.evaluate(run, sliding=False)["loss"]
        row["memory"] = in_a_process(run.path, keras_mode or "run")
        if run is not base:
            row["speed_float32"], row["speed"] = speeds([base, run], rounds=ROUNDS)
        if path is not None:
            row["served_bytes"] = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
            row["served_memory"] = in_a_process(path, "served")
            if path is not first:
                row["served_speed_float32"], row["served_speed"] = served_speeds([first, path])
        rows.append(row)
    return rows


def in_keras(run, mode):
    """A run whose dense layers Keras quantizes; the file is as it was."""
    import keras

    from mdnn.runs.run_folder import open_run

    own = open_run(run.path)
    own.model.quantize(mode, filters=lambda layer: isinstance(layer, keras.layers.Dense))
    return own


def weights_bytes(run, keras_mode):
    """Bytes of the weights file; of what Keras quantizes, of its variables."""
    from mdnn.runs.run_files import WEIGHTS
    from mdnn.runs.safetensors_io import arrays_by_path

    if keras_mode:
        return sum(array.nbytes for array in arrays_by_path(run.model.weights).values())
    return (run.path / WEIGHTS).stat().st_size


def in_a_process(path, what):
    """Bytes of memory that a process of its own holds beyond its imports; see `memory`."""
    return in_own_process(__file__, "--memory", path, what)


def memory(path, what):
    """Bytes that this process holds more, once it has opened a network and written with it.

    Args:
        path: a run folder or a SavedModel.
        what: `"run"`, `"served"`, or Keras' word for how dense layers are quantized.
    """
    from mdnn import generate
    from mdnn.runs.run_folder import open_run

    before = resident()
    if what == "served":
        asked = served(path)
        asked(CHARACTERS)
    else:
        run = open_run(path)
        generate(run if what == "run" else in_keras(run, what), "The ", length=CHARACTERS)
    return resident() - before


def resident():
    """Bytes of memory that this process holds now (of Linux alone)."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def served(path):
    """A function that writes so many characters with a SavedModel."""
    import tensorflow as tf

    module = tf.saved_model.load(str(path))

    def write(length):
        module.signatures["generate"](
            prompt=tf.constant(["The "]),
            length=tf.constant(length),
            temperature=tf.constant(0.8),
            seed=tf.constant(1),
        )["text"].numpy()

    return write


def served_speeds(paths):
    """Characters per second of SavedModels, in turns, medians."""
    writes = [served(path) for path in paths]
    return [CHARACTERS / second for second in medians(writes, CHARACTERS, ROUNDS)]


def medians(functions, argument, rounds):
    """Seconds that functions take, in turns, each having been called once before."""
    for function in functions:
        function(argument)
    spent = [[] for _ in functions]
    for _ in range(rounds):
        for own, function in zip(spent, functions, strict=True):
            start = time.perf_counter()
            function(argument)
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in spent]


def of_layers(whole):
    """Microseconds of one dense layer in every way, a list of dicts."""
    from mdnn import load

    shapes = {tuple(w.shape) for w in load(whole).weights if w.path.endswith("/kernel")}
    shapes = sorted(shape for shape in shapes if len(shape) == 2)
    # The network's largest, and one larger than any of it.
    chosen = [max(shapes, key=math.prod), LARGE] if shapes else [LARGE]
    return [layer_row(shape, vectors) for shape in chosen for vectors in VECTORS]


def layer_row(shape, vectors):
    """Microseconds of a dense layer, as float32, by Keras, and unpacked anew in every call."""
    import keras
    import tensorflow as tf

    from mdnn.runs.quantization import expand, pack_weights, read_stored

    rng = np.random.default_rng(0)
    kernel = (rng.normal(size=shape) / math.sqrt(shape[0])).astype("float32")
    functions = {}
    for mode in (None, "int8", "int4"):
        layer = keras.layers.Dense(shape[1], use_bias=False)
        layer.build((None, shape[0]))
        layer.kernel.assign(kernel)
        if mode is not None:
            layer.quantize(mode)
        functions[f"keras-{mode}" if mode else "float32"] = tf.function(layer)
    for mode in ("int8", "int4"):
        packed, about = pack_weights({"kernel": kernel}, mode)
        stored = read_stored(packed, about, "")
        held = {name: tf.Variable(array) for name, array in packed.items()}
        functions[f"unpacked {mode}"] = tf.function(
            lambda x, held=held, stored=stored: x @ expand(held, stored)["kernel"]
        )
    x = tf.constant(rng.normal(size=(vectors, shape[0])).astype("float32"))
    found = medians(list(functions.values()), x, CALLS)
    micros = {name: second * 1e6 for name, second in zip(functions, found, strict=True)}
    return {"shape": list(shape), "vectors": vectors, "micros": micros}


def print_runs(rows):
    """Prints what was measured of runs as a table."""
    whole = rows[0]
    print(
        "\n| weights | bytes | of it | nats | cost | characters/s | to float32 | MB held "
        "| SavedModel, bytes | characters/s | to float32 | MB held |\n" + "|---" * 12 + "|"
    )
    for row in rows:
        cells = [
            row["weights"],
            f"{row['bytes']:,}",
            f"{row['bytes'] / whole['bytes']:.1%}",
            f"{row['loss']:.4f}",
            f"{row['loss'] / whole['loss'] - 1:+.2%}" if row is not whole else "",
            *speed_cells(row, "speed"),
            f"{row['memory'] / 1e6:.0f}",
            f"{row['served_bytes']:,}" if "served_bytes" in row else "",
            *speed_cells(row, "served_speed"),
            f"{row['served_memory'] / 1e6:.0f}" if "served_memory" in row else "",
        ]
        print(f"| {' | '.join(cells)} |")


def speed_cells(row, name):
    """A speed, and its ratio to the float32 one's in the same turns."""
    if name not in row:
        return "", ""
    return f"{row[name]:,.0f}", f"{row[name] / row[f'{name}_float32']:.2f}"


def print_layers(rows):
    """Prints what was measured of layers as a table."""
    ways = list(rows[0]["micros"])
    print("\nMicroseconds of a dense layer, median of", CALLS, "calls\n")
    print(f"| kernel | vectors | {' | '.join(ways)} |\n|---|---" + "|---" * len(ways) + "|")
    for row in rows:
        shape = " x ".join(map(str, row["shape"]))
        micros = " | ".join(f"{row['micros'][way]:,.0f}" for way in ways)
        print(f"| {shape} | {row['vectors']} | {micros} |")


if __name__ == "__main__":
    sys.exit(timed(main))
