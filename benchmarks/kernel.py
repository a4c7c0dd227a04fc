"""What a compiled kernel would give over what Keras' operations reach, and where their time goes.

The paper's own layer (16 x 16 x 16 x 16, batch 64, separate kernels, parallel, forward): the
lineage's einsum, `MultidimDense`, each of the operations that `MultidimDense` is made of alone,
and axis_kernel.c, compiled here with the C compiler at hand, all timed in turns:

    python benchmarks/kernel.py
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from wall import timed

BATCH, GRID = 64, (16, 16, 16, 16)
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC")


def main():
    """Prints the table; returns the exit status."""
    from mdnn.runtime import quiet_import

    quiet_import()
    import numpy as np
    from compiled import compiled, medians
    from keras import ops
    from layers import lineage, ours

    rng = np.random.default_rng(1)
    x = rng.standard_normal((BATCH, *GRID)).astype("float32")
    kernels = [(rng.standard_normal((16,) * 5) / 4).astype("float32") for _ in GRID]
    tensors = ops.convert_to_tensor(x), [ops.convert_to_tensor(k) for k in kernels]
    einsum = compiled(lineage(GRID, "separate", "parallel"))
    layer = compiled(ours(GRID, BATCH, "separate", "parallel"))
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
    timed = {"einsum": lambda: einsum(*tensors), "MultidimDense": lambda: layer(*tensors)}
    timed |= {name: lambda f=f, a=a: f(a) for name, (_, f, a) in parts.items()}
    with tempfile.TemporaryDirectory() as folder:
        kernel = compile_kernel(Path(folder), x, kernels)
        if kernel is None:
            print("no C compiler (cc, or the one in CC): axis_kernel.c is left out")
        else:
            y = kernel()
            right = np.asarray(einsum(*tensors))
            print(f"largest relative error of the compiled kernel: {error(y, right):.0e}\n")
            timed["compiled kernel"] = kernel
        seconds = medians(timed, 2.0)
    print("| | ms | times einsum |\n|---|---|---|")
    for name in ("einsum", "MultidimDense", "compiled kernel"):
        if name in seconds:
            print(
                f"| {name} | {1e3 * seconds[name]:.1f} | {seconds['einsum'] / seconds[name]:.2f} |"
            )
    print("\n| part of MultidimDense | each ms | together ms |\n|---|---|---|")
    for name, (count, _, _) in parts.items():
        print(f"| {name} | {1e3 * seconds[name]:.1f} | {1e3 * count * seconds[name]:.1f} |")
    return 0


def compile_kernel(folder, x, kernels):
    """A function of no arguments that runs the compiled kernel; `None` without a compiler."""
    import numpy as np

    source, library = Path(__file__).with_name("axis_kernel.c"), folder / "kernel.so"
    command = [os.environ.get("CC", "cc"), *FLAGS, str(source), "-o", str(library)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    layer = ctypes.CDLL(str(library)).layer
    y, *room = (np.empty_like(x) for _ in range(3))

    def pointer(array):
        return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))

    table = (ctypes.POINTER(ctypes.c_float) * len(kernels))(*map(pointer, kernels))

    def run():
        layer(pointer(x), table, pointer(y), BATCH, *map(pointer, room))
        return y

    return run


def error(value, right):
    """The largest difference, relative to the largest number."""
    return float(abs(value - right).max() / abs(right).max())


if __name__ == "__main__":
    sys.exit(timed(main))
