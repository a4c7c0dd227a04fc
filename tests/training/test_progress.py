"""What a person sees: lines elsewhere, a bar on a terminal, nothing where it is not wanted."""

import io
import re

import pytest

from mdnn.training.progress import Display, Ticker, clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return Terminal()


def shown(stream):
    """A terminal's text without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def run(stream, show=True, updates=500):
    with Display(show, stream) as display:
        display.say("before [bold]")
        for step in range(1, updates + 1):
            part = step / updates
            display.update(part, 1.5, 12345.6, 90 * (1 - part), step, 1.25 if part > 0.5 else None)
    return stream


def test_elsewhere_a_line_every_so_often():
    lines = run(io.StringIO()).getvalue().splitlines()
    assert lines[0] == "before [bold]"
    assert len(lines) == 1 + 21
    assert lines[1] == (
        "  0%  1.500 nats  2.164 bits/character  12,346 characters/s  1:30 left  step 1"
    )
    assert lines[-1] == (
        "100%  1.500 nats  2.164 bits/character  12,346 characters/s  0:00 left  step 500"
        "  validation 1.250"
    )
    percents = [int(line.split("%")[0]) for line in lines[1:]]
    assert percents == [0, *range(5, 101, 5)]


def test_few_updates_are_few_lines():
    assert len(run(io.StringIO(), updates=3).getvalue().splitlines()) == 1 + 3


def test_nothing_where_it_is_not_wanted(terminal):
    assert run(io.StringIO(), show=False).getvalue() == ""
    assert run(terminal, show=False).getvalue() == ""


def test_a_bar_with_all_figures_on_a_terminal(terminal):
    found = shown(run(terminal))
    assert "━" in found
    assert "100%" in found
    for figure in (
        "1.500 nats",
        "2.164 bits/character",
        "12,346 characters/s",
        "0:00 left",
        "validation 1.250",
    ):
        assert figure in found
    assert "before [bold]" in found
    assert max(map(len, re.split("[\r\n]+", found))) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (0.2, "0:01"), (59.5, "1:00"), (61, "1:01"), (3600, "60:00"), (-3, "0:00")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_ticker_rewrites_its_line(terminal):
    ticker = Ticker("evaluating", stream=terminal)
    for part in (0.0, 0.01, 0.5, 1.0):
        ticker(part)
    pieces = terminal.getvalue().split("\r")[1:]
    assert pieces[0] == "evaluating   0%\x1b[K"
    assert re.fullmatch(r"evaluating  50%  \d+:\d\d left\x1b\[K", pieces[2])
    # At the end the line is gone.
    assert pieces[3:] == ["\x1b[K"] or pieces[3:] == ["", "\x1b[K"]


def test_a_ticker_is_silent_elsewhere(terminal):
    stream = io.StringIO()
    Ticker("evaluating", stream=stream)(0.5)
    Ticker("evaluating", show=False, stream=terminal)(0.5)
    assert stream.getvalue() == terminal.getvalue() == ""
