"""Runs side by side: what is measured of them, and the table."""

from types import SimpleNamespace

import mdnn
from mdnn.cli import comparison
from mdnn.cli.comparison import comparison_table, speeds
from mdnn.tasks.text_task import TextTask


def test_the_median_speed_of_turns(monkeypatch):
    """Both write once before they are measured, and then one after the other."""
    calls, now = [], [0.0]
    # A run that takes 1, 5, 2 seconds, and one that takes twice as long.
    spent = {"a": iter([9, 1, 5, 2]), "b": iter([9, 2, 10, 4])}

    def write(task, run, prompt, options):
        calls.append((run.name, prompt, options.decoding))
        now[0] += next(spent[run.name])
        return "x" * options.length

    monkeypatch.setattr(TextTask, "generate", write)
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: now[0])
    config = mdnn.Config.from_dict(
        {
            "train": {
                "steps": 1,
                "sample": 0,
                "prompt": "",
                "objectives": {"autoregressive": 0, "parallel": 1},
            }
        }
        | {"backbone": {"layer": [{"kind": "linear"}]}}
    )
    runs = [SimpleNamespace(name=name, config=config, words=()) for name in "ab"]
    assert speeds(runs, rounds=3) == [400 / 2, 400 / 4]
    assert calls == [(name, "The ", "parallel") for name in "abababab"]


def test_table():
    rows = [
        {
            "weights": "float32",
            "bytes": 3_000_000,
            "loss": {"autoregressive": 1.25, "parallel": 2.0},
            "speed": 99,
        },
        {
            "weights": "int4",
            "bytes": 500_000,
            "loss": {"autoregressive": 1.26, "parallel": 1.99},
            "speed": 1234.5,
        },
    ]
    assert comparison_table(rows) == [
        "weights        bytes   of it mode             nats/character     cost  characters/s",
        "float32    3,000,000  100.0% autoregressive           1.2500                     99",
        "                             parallel                 2.0000",
        "int4         500,000   16.7% autoregressive           1.2600   +0.80%         1,234",
        "                             parallel                 1.9900   -0.50%",
    ]
    assert comparison_table(rows[:1], "unit")[0].split()[-2:] == ["cost", "units/s"]
