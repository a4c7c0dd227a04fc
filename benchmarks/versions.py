"""Whether another version of mdnn is faster or slower than this one: two checkouts, in turns.

For each case one process of each checkout builds its network and warms up; then the two work in
turns for a second each, so that what disturbs one disturbs the other. Prints the medians, the
median of the ratios of neighboring turns and their quartiles:

    git worktree add ../before COMMIT
    python benchmarks/versions.py ../before
    python benchmarks/versions.py ../before --cases step:text write:text import --turns 40

Cases: `step:CONFIG` (a training step), `write:CONFIG` (writing in Python), `saved:CONFIG`
(writing by the SavedModel's `generate`), `import` (`import mdnn` and its public names, a fresh
process). Each checkout uses the classes of its own benchmarks/steps.py and generate.py.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark_runs import benchmark_parser, print_heading, timed, write_figures

HERE = Path(__file__).resolve()
CASES = (
    "step:text",
    "step:text-grid",
    "step:digits-small",
    "step:sudoku-6x6",
    "write:text",
    "write:text-grid",
    "saved:text",
    "saved:text-grid",
    "import",
)
IMPORT = "import mdnn; [getattr(mdnn, name) for name in mdnn.__all__]"


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "json", seconds=1.0)
    parser.add_argument("before", type=Path, help="a checkout of the other version")
    parser.add_argument("--after", type=Path, default=HERE.parents[1], help="default: this one")
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--turns", type=int, default=20, help="alternations (default 20)")
    parser.add_argument(
        "--set", action="append", default=[], help="KEY=VALUE for the steps' configs"
    )
    options = parser.parse_args()
    for checkout in (options.before, options.after):
        if not (checkout / "mdnn").is_dir():
            print(
                f"benchmarks/versions.py: error: {checkout}: no checkout of mdnn", file=sys.stderr
            )
            return 2
    print_heading("case | unit | before | after | after / before | quartiles")
    rows = []
    for case in options.cases:
        row = compare(case, options)
        rows.append(row)
        print(
            f"| {case} | {row['unit']} | {row['before']:.3f} | {row['after']:.3f} | "
            f"{row['ratio']:.3f} | {row['quartiles'][0]:.3f} to {row['quartiles'][1]:.3f} |",
            flush=True,
        )
    write_figures(options.json, rows)
    return 0


def compare(case, options):
    """The figures of a case, in turns: dict of medians, ratio, quartiles and all values."""
    sides = [Side(path.resolve(), case, options.set) for path in (options.before, options.after)]
    values = [[], []]
    try:
        for turn in range(options.turns):
            # Who comes first changes from turn to turn.
            for side in (0, 1) if turn % 2 else (1, 0):
                values[side].append(sides[side].measure(options.seconds))
    finally:
        for side in sides:
            side.close()
    ratios = [after / before for before, after in zip(*values, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "case": case,
        "unit": sides[0].unit,
        "before": statistics.median(values[0]),
        "after": statistics.median(values[1]),
        "ratio": statistics.median(ratios),
        "quartiles": [quartiles[0], quartiles[2]],
        "values": values,
    }


class Side:
    """One checkout's process for a case.

    Args:
        checkout: path of a checkout.
        case: str, one of the cases of the module's docstring.
        overrides: list of `KEY=VALUE` for the configs of steps.
    """

    def __init__(self, checkout, case, overrides=()):
        self.checkout, self.case = checkout, case
        self.unit = "s" if case == "import" else "ms"
        self.environment = os.environ | {"PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = None
        if case == "import":
            self.measure(0)
            return
        self.process = subprocess.Popen(
            [sys.executable, HERE.with_name("versions_worker.py"), checkout, case, *overrides],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def measure(self, seconds):
        """The median time of a call: seconds of `import`, milliseconds of all else."""
        if self.process is None:
            begun = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-c", IMPORT]
                subprocess.run(command, env=self.environment, cwd=folder, check=True)
            return time.perf_counter() - begun
        print(seconds, file=self.process.stdin, flush=True)
        return float(self._read()) * 1e3

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks/versions.py: {self.checkout}: {self.case} ended early")
        return line

    def close(self):
        """Ends the process."""
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


if __name__ == "__main__":
    sys.exit(timed(main))
