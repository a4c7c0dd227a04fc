"""Runs the notebooks anew, in place: `make notebooks`. A notebook that fails stays as it was."""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from mdnn.files import replacing


def main(names):
    """Runs the named notebooks, or all; returns the exit status."""
    folder = Path(__file__).parent
    for path in [Path(name) for name in names] or sorted(folder.glob("*.ipynb")):
        print(f"{path.name} …", flush=True)
        begun = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook,
            timeout=900,
            kernel_name="python3",
            resources={"metadata": {"path": folder.parent}},
            # When a cell ran is not a result, and would change at every run.
            record_timing=False,
        )
        try:
            client.execute()
        except CellExecutionError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        with replacing(path) as part:
            nbformat.write(notebook, part)
        print(f"{path.name} ran in {time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
