"""Trains, generates, plots, exports and serves a text network. `make demo` runs this."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

from mdnn.cli import main as mdnn
from mdnn.config.shipped import find_config
from mdnn.errors import MdnnError
from mdnn.generation.completions.stop_texts import until_stop
from mdnn.serving.clients import saved_model_text as ask

CONFIG = "text"
# The manual is short: in 3 minutes it is read up to twenty times, and with less dropout learned by
# heart (0.1: 1.224 nats on what was kept back, 0.2: 1.158).
PROMPT = "If a class "
CHANGES = (
    "backbone.layer.0.dropout=0.2",
    "backbone.layer.1.dropout=0.2",
    # The samples of the training begin as the answers below do.
    f"train.prompt={PROMPT}",
)
# What ends a paragraph of prose: an empty line, an indented line, the blanks inside a table.
STOPS = ("\n\n", "\n ", " " * 6)
# A heading alone is not an answer that one wants to read.
LEAST = 80
# Exit statuses of a training that has a network: its end, Ctrl-C.
TRAINED = (0, 130)
# More careful than the network's own probabilities: three minutes are little to learn a language.
TEMPERATURE = "0.5"


def main():
    """Runs the demo in a new folder below runs/; returns the exit status."""
    if status := missing(CONFIG):
        return status
    run = new_run("demo")
    print(
        "A network without attention learns to write, from nothing, on this computer: characters\n"
        "only, from the reference manual that comes with Python. Ctrl-C ends the training early\n"
        "and goes on with what was learned."
    )
    changes = [word for change in CHANGES for word in ("--set", change)]
    if (status := command("train", CONFIG, "--out", str(run), *changes)) not in TRAINED:
        return status
    print(f"\nThe loss curve is a picture: {run / 'loss.png'}")
    # The manual has tables, too: three paragraphs read better than one long answer.
    words = ["--prompt", PROMPT, "--temperature", TEMPERATURE, "--length", "300", "--samples", "3"]
    words += [word for stop in STOPS for word in ("--stop", stop)]
    if status := command("generate", str(run), *words):
        return status
    if status := command("export", str(run), str(run / "served")):
        return status
    saved = next((run / "served").glob("[0-9]*"))
    print(
        "\nThe same network from a fresh process in which neither mdnn nor keras can be imported\n"
        f"$ python {Path(ask.__file__).name} {saved} {PROMPT!r} 400 {TEMPERATURE}",
        flush=True,
    )
    words = [sys.executable, "-I", ask.__file__, str(saved), PROMPT, "400", TEMPERATURE]
    answer = subprocess.run(words, capture_output=True, check=False)
    if answer.returncode:
        sys.stderr.buffer.write(answer.stderr)
        return failed("the SavedModel did not answer", 1)
    print(PROMPT + paragraph(answer.stdout.decode("utf-8")))
    print(
        f"""
What to try next (with .venv/bin on your PATH, or .venv/bin/mdnn instead of mdnn):
  mdnn generate {run} --prompt "The " --temperature 0.9 --seed 1
  mdnn evaluate {run}
  mdnn train {CONFIG} --out {run} --resume --set train.minutes=10
  mdnn train {CONFIG} --out runs/mine --set data.source=PATH    your own text or folder
  mdnn train text-grid --out runs/grid    256 characters of context, two axes
  mdnn inspect paper    the paper's own network"""
    )
    return 0


def paragraph(text, least=LEAST):
    """Returns the beginning of an answer, up to the first of `STOPS` after `least` characters."""
    return (text[:least] + "".join(until_stop([text[least:]], STOPS))).rstrip()


def command(*words):
    """Shows and runs one command of the command line; returns its exit status."""
    print(f"\n$ mdnn {' '.join(map(shell_word, words))}", flush=True)
    return mdnn(list(words))


def shell_word(word):
    """Returns a word as it is typed into a shell, on one line."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"$'{escaped}'"


def missing(config):
    """Returns 0 if a demo's config exists, otherwise the exit status after printing an error."""
    try:
        find_config(config)
    except MdnnError as error:
        return failed(str(error))
    return 0


def new_run(name, folder="runs"):
    """Returns the path of a new run folder, named after a demo and the time."""
    return Path(folder) / time.strftime(f"{name}-%Y%m%d-%H%M%S")


def run_and_report(show, run):
    """Calls `show(run)`, prints its errors and returns the exit status, like `mdnn.cli.main`."""
    try:
        show(run)
    except (MdnnError, OSError) as error:
        return failed(" ".join(str(error).split()))
    except KeyboardInterrupt:
        print("\nmdnn: stopped", file=sys.stderr)
        return 130
    return 0


def failed(text, status=2):
    """Prints an error and returns the exit status."""
    print(f"mdnn: error: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
