"""Outputs that are closed, full, or pipes that nobody reads: one line at most, a true status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdnn.standard_streams import Unfailing

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | {
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path))
}


def run(shell, unbuffered=False):
    """The exit status, standard output and standard error of `python -m mdnn` in a shell command.

    `M` stands for the command.
    """
    python = f"{sys.executable}{' -u' if unbuffered else ''} -m mdnn"
    done = subprocess.run(
        ["bash", "-c", shell.replace("M ", f"{python} ", 1)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_full_output(unbuffered):
    status, _, error = run("M configs >/dev/full", unbuffered)
    assert status == 2
    assert error.startswith("mdnn: error: No space left on device")
    assert error.count("\n") == 1
    assert run("M inspect nothing 2>/dev/full", unbuffered) == (2, "", "")


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("M configs >&-", (0, "", "")),
        ("M inspect nothing 2>&-", (2, "", "")),
        ("M configs <&- >&- 2>&-", (0, "", "")),
        ("set -o pipefail; M configs | true", (0, "", "")),
        ("set -o pipefail; M inspect nothing 2>&1 >/dev/null | true", (2, "", "")),
    ],
)
def test_closed_outputs(shell, expected):
    assert run(shell) == expected


class Broken:
    encoding = "utf-8"

    def __init__(self):
        self.texts = []

    def write(self, text):
        self.texts.append(text)
        raise BrokenPipeError

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_broken_stream_stops_nobody():
    from mdnn.training.progress import Display, Ticker

    broken = Broken()
    stream = Unfailing(broken)
    assert stream.write("abc") == 3
    assert stream.encoding == "utf-8"
    display = Display(stream=broken)
    with display:
        display.say("one")
        display.update(0.5, 2.0, 10, 10, 5)
    assert any("one" in text for text in broken.texts)
    broken.isatty = lambda: True
    Ticker("two", stream=broken)(0.5)
    assert any("two" in text for text in broken.texts)
    with Display(stream=broken) as bar:
        bar.update(0.5, 2.0, 10, 10, 5)


def test_what_is_said_is_shown_as_it_is(capsys):
    from mdnn.training.progress import Display

    Display().say("runs/[bold]a[/bold]:smile:%d is kept")
    assert capsys.readouterr().err == "runs/[bold]a[/bold]:smile:%d is kept\n"
    Display(stream=None)
    sys.stderr, before = None, sys.stderr
    try:
        Display().say("nothing")
    finally:
        sys.stderr = before
