"""Signals that ask a process to end: as statuses, as exceptions, on systems that lack some."""

import signal
import threading

import pytest

from mdnn.cli import parser as cli
from mdnn.training import signals as stopping
from mdnn.training.signals import (
    Stopping,
    TerminationSignal,
    exit_status,
    raising_signals,
    signal_name,
    signal_number,
)


@pytest.fixture(autouse=True)
def plain_signals():
    """Handlers of a program that has just begun."""
    defaults = {signal.SIGINT: signal.default_int_handler}
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {n: signal.signal(n, defaults.get(n, signal.SIG_DFL)) for n in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_numbers_and_names():
    assert exit_status(signal.SIGINT) == 130
    assert exit_status(signal.SIGTERM) == 143
    assert signal_name(15) == "SIGTERM"
    assert signal_name(None) is None
    assert signal_number(KeyboardInterrupt()) == signal.SIGINT
    assert signal_number(TerminationSignal(15)) == 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_waits_and_the_next_acts(number):
    with raising_signals():
        with Stopping() as stop:
            assert not stop.asked
            signal.raise_signal(number)
            assert stop.number == number
            with pytest.raises((KeyboardInterrupt, TerminationSignal)) as error:
                signal.raise_signal(number)
            assert signal_number(error.value) == number
        with pytest.raises((KeyboardInterrupt, TerminationSignal)):
            signal.raise_signal(number)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_is_ignored_stays_ignored():
    """As nohup starts a program."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with raising_signals(), Stopping() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.asked


def test_handlers_of_others_stay():
    received = []
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    with raising_signals():
        signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM]


def test_systems_that_lack_signals(monkeypatch):
    """Windows has no SIGHUP, but SIGBREAK (here: another number)."""
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        with raising_signals():
            with Stopping() as stop:
                signal.raise_signal(signal.SIGBREAK)
                assert stop.asked
            with pytest.raises(TerminationSignal):
                signal.raise_signal(signal.SIGBREAK)
    finally:
        signal.signal(signal.SIGUSR1, before)
    monkeypatch.setattr(stopping, "NAMES", ("SIGNOTHING",))
    with raising_signals(), Stopping() as stop:
        assert not stop.asked


def test_other_threads_hear_none():
    done = []

    def run():
        with raising_signals(), Stopping() as stop:
            done.append(stop.asked)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [False]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_commands_end_with_the_signals_status(monkeypatch, capsys, number):
    def command(options):
        signal.raise_signal(number)

    monkeypatch.setattr(cli, "run_configs", command)
    assert cli.main(["configs"]) == 128 + number
    assert capsys.readouterr().err == "\nmdnn: stopped\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"stopped": False, "signal": None}, 0),
        ({"stopped": True, "signal": "SIGINT"}, 130),
        ({"stopped": True, "signal": "SIGTERM"}, 143),
    ],
)
def test_a_training_that_was_stopped(monkeypatch, tmp_path, capsys, result, status):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mdnn.training.run_training.train", lambda *args, **options: dict(result))
    monkeypatch.setattr("mdnn.cli.commands.quiet_import", lambda prepare=None: None)
    assert cli.main(["train", "text", "--out", "run", "--json"]) == status
    assert '"wall_seconds"' in capsys.readouterr().out
