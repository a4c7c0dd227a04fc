"""All that can be measured on an accelerator, in one command, without TensorFlow.

Runs the programs beside this one on the JAX backend, one after another, prints their tables and
writes their figures into one JSON file, with the device's name and the versions:

    python benchmarks/accelerator.py --json accelerator.json
    python benchmarks/accelerator.py --quick

It needs keras, jax, numpy and what mdnn imports (setup.cfg), and runs on a CPU, too. Nothing in
mdnn depends on it.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmark_runs import benchmark_parser, timed, write_figures

PROGRAMS = {
    "layers": ["layers.py"],
    "steps": ["steps.py", "--batch", "64"],
    "generate": ["generate.py"],
    "devices": ["devices.py"],
}
QUICK = {
    "layers": ["--grids", "16x16x16x16", "128x128", "--batches", "64", "--seconds", "0.2"],
    "steps": ["--seconds", "1"],
    "generate": ["--long", "1000"],
    "devices": ["--seconds", "1"],
}


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "json")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--quick", action="store_true", help="fewer rows, less time for each")
    options = parser.parse_args()
    here = Path(__file__).parent
    paths = [str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    figures, failed = {"machine": about()}, []
    print(json.dumps(figures["machine"]))
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            file = Path(folder) / f"{name}.json"
            program, *words = PROGRAMS[name] + (QUICK[name] if options.quick else [])
            print(f"\n{name}\n", flush=True)
            command = [sys.executable, str(here / program), *words, "--json", str(file)]
            if subprocess.run(command, env=environment, check=False).returncode:
                failed.append(name)
            elif file.is_file():
                figures[name] = json.loads(file.read_text(encoding="utf-8"))
    write_figures(options.json, figures)
    if failed:
        print(f"benchmarks/accelerator.py: error: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def about():
    """The device that JAX sees and the versions, without holding on to the device."""
    script = "import jax; d = jax.devices(); print(d[0].platform, len(d), d[0].device_kind)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    versions = {}
    for package in ("jax", "keras", "tensorflow", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {"device": lines[-1] if lines else "unknown", "versions": versions}


if __name__ == "__main__":
    sys.exit(timed(main))
