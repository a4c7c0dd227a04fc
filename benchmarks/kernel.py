"""Where the time of the paper's layer goes, by Keras' operations and by the native library.

The paper's own layer (16 x 16 x 16 x 16, batch 64, separate kernels, parallel, forward): the
lineage's einsum, `MultidimDense` by the native library where `mdnn build-native` has built it, by
Keras' operations, and each of these operations alone, all timed in turns:

    python benchmarks/kernel.py
"""

import sys

from benchmark_runs import timed

BATCH, GRID = 64, (16, 16, 16, 16)


def main():
    """Prints the table; returns the exit status."""
    from mdnn.runtime import quiet_import

    quiet_import()
    import numpy as np
    from compiled import compiled, medians
    from keras import ops
    from layers import difference, lineage, ours

    from mdnn.native.axis_library import axis_library_facts

    rng = np.random.default_rng(1)
    x = rng.standard_normal((BATCH, *GRID)).astype("float32")
    kernels = [(rng.standard_normal((16,) * 5) / 4).astype("float32") for _ in GRID]
    tensors = ops.convert_to_tensor(x), [ops.convert_to_tensor(k) for k in kernels]
    einsum = compiled(lineage(GRID, "separate", "parallel"))
    layers = {
        "MultidimDense, native": compiled(ours(GRID, BATCH, "separate", "parallel")),
        "MultidimDense, Keras": compiled(ours(GRID, BATCH, "separate", "parallel", native=False)),
    }
    why_not = axis_library_facts()["why_not"]
    if why_not:
        print(f"{why_not}: left out")
        del layers["MultidimDense, native"]
    last = ops.convert_to_tensor(np.ascontiguousarray(np.moveaxis(x, 0, -1)))
    rows = ops.reshape(tensors[0], (BATCH, -1))
    flat = ops.reshape(last, (16, -1, BATCH))
    parts = {
        "batch to the end or to the front (2)": (2, compiled(ops.transpose), rows),
        "an axis beside the batch, or back (6)": (
            6,
            compiled(lambda a: ops.transpose(a, (1, 0, 2))),
            flat,
        ),
        "a product along an axis (4)": (
            4,
            compiled(lambda a: ops.matmul(tensors[1][3], a)),
            last,
        ),
        "a sum of two (3)": (3, compiled(lambda a: a + a), last),
    }
    timed = {"einsum": lambda: einsum(*tensors)}
    timed |= {name: lambda f=f: f(*tensors) for name, f in layers.items()}
    for name, layer in layers.items():
        print(
            f"largest relative error, {name}: {difference(layer(*tensors), einsum(*tensors)):.0e}"
        )
    timed |= {name: lambda f=f, a=a: f(a) for name, (_, f, a) in parts.items()}
    seconds = medians(timed, 2.0)
    print("\n| | ms | times einsum |\n|---|---|---|")
    for name in ("einsum", *layers):
        print(f"| {name} | {1e3 * seconds[name]:.1f} | {seconds['einsum'] / seconds[name]:.2f} |")
    print("\n| operation of Keras | each ms | together ms |\n|---|---|---|")
    for name, (count, _, _) in parts.items():
        print(f"| {name} | {1e3 * seconds[name]:.1f} | {1e3 * count * seconds[name]:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(timed(main))
