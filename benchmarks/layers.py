"""How fast the multidimensional dense layer is: the README's table.

Times `MultidimDense` beside the lineage's arithmetic, a plain einsum per axis, and beside
`keras.layers.EinsumDense`, forward and with gradients (of inputs and kernels), float32, one
after another in turns; prints medians and ratios, and beside them the floor: the larger of
operations / matrix-product peak and bytes / copy bandwidth, both measured in the same run.
`MultidimDense` uses the native library where `mdnn build-native` has built it ("ours"), and is
timed without it, too ("Keras").
Run it on a machine that does nothing else:

    python benchmarks/layers.py
    python benchmarks/layers.py --grids 16x16x16x16 --batches 64 --sharing separate
    KERAS_BACKEND=jax python benchmarks/layers.py --json layers.json
"""

import math
import sys
from itertools import product

from benchmark_runs import benchmark_parser, timed, write_figures

GRIDS = ("16x16x16x16", "32x32x32", "128x128", "4x4x4x4x4x4", "64x64x64")
LETTERS = "ijklmn"


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "json", seconds=1.0)
    parser.add_argument("--grids", nargs="+", default=list(GRIDS), help="grids, as 16x16")
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 64])
    parser.add_argument(
        "--sharing", nargs="+", default=["separate", "shared"], choices=("separate", "shared")
    )
    parser.add_argument(
        "--execution",
        nargs="+",
        default=["parallel", "sequential"],
        choices=("parallel", "sequential"),
    )
    options = parser.parse_args()
    try:
        grids = [tuple(int(n) for n in grid.split("x")) for grid in options.grids]
        if any(len(grid) > len(LETTERS) or min(grid) < 1 for grid in grids):
            raise ValueError
    except ValueError:
        parser.error(f"expected grids as 16x16, up to {len(LETTERS)} axes, got {options.grids}")
    from mdnn.runtime import quiet_import

    quiet_import()
    from mdnn.native.axis_library import axis_library_facts

    native = axis_library_facts()
    print(native["why_not"] or f"native library: {native['instructions']}")
    machine = measure_machine()
    print(
        f"matrix products {machine['peak'] / 1e9:.0f} GFLOP/s (2048 x 2048), "
        f"copies {machine['bandwidth'] / 1e9:.1f} GB/s (bytes read and written)\n\n"
        "| grid | batch | kernels | execution | ours ms | times einsum | Keras | EinsumDense "
        "| of peak | of floor | with gradients ms | times einsum | Keras | EinsumDense | of peak "
        "| of floor | error |\n|" + "---|" * 17
    )
    cases = list(product(grids, options.batches, options.sharing, options.execution))
    rows = []
    for case in cases:
        rows.append(Case(*case).measure(machine, options.seconds))
        print(line(rows[-1]), flush=True)
    memory = print_memory(cases)
    write_figures(options.json, {"machine": machine, "rows": rows, "memory": memory})
    return 0


def measure_machine():
    """The machine's matrix-product peak (operations/s) and copy bandwidth (bytes/s)."""
    import numpy as np
    from compiled import compiled, medians
    from keras import ops

    rng = np.random.default_rng(1)
    square = ops.convert_to_tensor(rng.standard_normal((2048, 2048)).astype("float32"))
    # As large as the paper's layer at batch 64.
    array = ops.convert_to_tensor(rng.standard_normal((64, 16**4)).astype("float32"))
    product, copy = compiled(lambda a: ops.matmul(a, a)), compiled(lambda a: a + 1.0)
    seconds = medians({"product": lambda: product(square), "copy": lambda: copy(array)})
    return {
        "peak": 2 * 2048**3 / seconds["product"],
        "bandwidth": 2 * 4 * 64 * 16**4 / seconds["copy"],
    }


def equations(grid, sharing):
    """An einsum for each axis; a kernel's axes are the others' letters, then in and out."""
    letters = LETTERS[: len(grid)]
    for own in letters:
        over = letters.replace(own, "") if sharing == "separate" else ""
        yield f"b{letters},{over}{own}z->b{letters.replace(own, 'z')}"


def chain(products, execution):
    """A function that runs products of one axis each in parallel or one after another."""

    def run(x, kernels):
        if execution == "parallel":
            y = products[0](x, kernels[0])
            for product, kernel in zip(products[1:], kernels[1:], strict=True):
                y = y + product(x, kernel)
            return y
        for product, kernel in zip(products, kernels, strict=True):
            x = product(x, kernel)
        return x

    return run


def lineage(grid, sharing, execution):
    """The lineage's arithmetic: the backend's own einsum, once per axis."""
    import keras

    if keras.backend.backend() == "jax":
        from jax.numpy import einsum
    else:
        from tensorflow import einsum

    def one(equation):
        return lambda x, kernel: einsum(equation, x, kernel)

    return chain([one(e) for e in equations(grid, sharing)], execution)


def einsum_dense(grid, batch, sharing, execution):
    """`keras.layers.EinsumDense` per axis, called with the kernels given."""
    import keras

    def one(equation):
        layer = keras.layers.EinsumDense(equation, output_shape=grid)
        layer.build((batch, *grid))
        variables = layer.trainable_variables
        return lambda x, kernel: layer.stateless_call([kernel], [], x)[0] if variables else None

    return chain([one(e) for e in equations(grid, sharing)], execution)


def ours(grid, batch, sharing, execution, native=True):
    """`MultidimDense`, called with the kernels given, with the native library or without it."""
    from mdnn.layers import MultidimDense
    from mdnn.native import native_graphs

    layer = MultidimDense(sharing=sharing, execution=execution)
    layer.build((batch, *grid))

    def run(x, kernels):
        with native_graphs(native):
            return layer.stateless_call(kernels, [], x)[0]

    return run


class Case:
    """A row of the tables: arrays, and the layers that take them.

    Args:
        grid: tuple of ints.
        batch: int.
        sharing, execution: as `MultidimDense` takes them.
    """

    def __init__(self, grid, batch, sharing, execution):
        import numpy as np
        from compiled import compiled, with_gradients
        from keras import ops

        self.about = {"grid": grid, "batch": batch, "sharing": sharing, "execution": execution}
        rng = np.random.default_rng(1)

        def normal(shape, scale=1.0):
            return ops.convert_to_tensor((rng.standard_normal(shape) * scale).astype("float32"))

        def over(axis):
            return (*grid[:axis], *grid[axis + 1 :]) if sharing == "separate" else ()

        shapes = [(*over(axis), size, size) for axis, size in enumerate(grid)]
        self.x, self.cotangent = normal((batch, *grid)), normal((batch, *grid))
        self.kernels = [normal(shape, shape[-1] ** -0.5) for shape in shapes]
        ways = {
            "ours": ours(grid, batch, sharing, execution),
            "Keras": ours(grid, batch, sharing, execution, native=False),
            "einsum": lineage(grid, sharing, execution),
            "EinsumDense": einsum_dense(grid, batch, sharing, execution),
        }
        self.forward = {name: compiled(way) for name, way in ways.items()}
        self.both = {name: with_gradients(way) for name, way in ways.items()}
        self.operations = 2 * batch * math.prod(grid) * sum(grid)
        self.one_way = 4 * batch * math.prod(grid)
        self.kernel_bytes = 4 * sum(map(math.prod, shapes))

    def calls(self, kind):
        """Functions of no arguments by name; `kind` is `"forward"` or `"gradients"`."""
        if kind == "forward":
            return {n: lambda f=f: f(self.x, self.kernels) for n, f in self.forward.items()}
        arguments = self.x, self.kernels, self.cotangent
        return {n: lambda f=f: f(*arguments) for n, f in self.both.items()}

    def measure(self, machine, seconds):
        """A dict of figures; `seconds` for each function that is timed."""
        from compiled import medians

        calls = self.calls("gradients")
        row = self.about | {"error": difference(calls["ours"](), calls["einsum"]())}
        for kind, passes in (("forward", 1), ("gradients", 3)):
            timed = medians(self.calls(kind), seconds)
            # Gradients are two more products of each kind, and read and write as much each.
            operations = passes * self.operations
            moved = passes * (2 * self.one_way + self.kernel_bytes)
            floor = max(operations / machine["peak"], moved / machine["bandwidth"])
            row[kind] = {
                "seconds": timed,
                "operations": operations,
                "bytes": moved,
                "floor": floor,
                "of_peak": operations / timed["ours"] / machine["peak"],
            }
        return row

    def memory(self):
        """Peak memory of ours, relative to inputs + kernels + outputs, by kind."""
        from compiled import peak_bytes

        found = {}
        for kind, ways, function in (("forward", 1, self.forward), ("gradients", 2, self.both)):
            arguments = (self.x, self.kernels, self.cotangent)[: ways + 1]
            there = ways * self.one_way + self.kernel_bytes
            least = ways * (2 * self.one_way + self.kernel_bytes)
            extra = peak_bytes(function["ours"], *arguments)
            found[kind] = None if extra is None else (there + extra) / least
        return found


def print_memory(cases):
    """Prints the second table; returns its figures."""
    print(
        "\npeak memory / (inputs + kernels + outputs)\n\n"
        "| grid | batch | kernels | execution | forward | with gradients |\n" + "|---" * 6 + "|"
    )
    rows = []
    for arguments in cases:
        case = Case(*arguments)
        found = case.memory()
        rows.append(case.about | found)
        cells = ["unknown" if share is None else f"{share:.1f}" for share in found.values()]
        print(f"{start(case.about)} {' | '.join(cells)} |")
    return rows


def difference(one, other):
    """The largest difference of two nests of arrays, relative to each array's largest number."""
    import keras
    import numpy as np

    ones, others = ([np.asarray(a) for a in keras.tree.flatten(nest)] for nest in (one, other))
    return max(
        float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ones, others, strict=True)
    )


def start(row):
    """The first cells of a row of either table."""
    grid = "x".join(map(str, row["grid"]))
    return f"| {grid} | {row['batch']} | {row['sharing']} | {row['execution']} |"


def line(row):
    """A row of the table as text."""
    cells = []
    for kind in ("forward", "gradients"):
        seconds = row[kind]["seconds"]
        cells += [
            f"{1e3 * seconds['ours']:.2f}",
            f"{seconds['einsum'] / seconds['ours']:.2f}",
            f"{seconds['Keras'] / seconds['ours']:.2f}",
            f"{seconds['EinsumDense'] / seconds['ours']:.2f}",
            f"{row[kind]['of_peak']:.0%}",
            f"{row[kind]['floor'] / seconds['ours']:.0%}",
        ]
    return f"{start(row)} {' | '.join(cells)} | {row['error']:.0e} |"


if __name__ == "__main__":
    sys.exit(timed(main))
