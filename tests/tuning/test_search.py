"""Searching: what is tried, stopped, kept and continued. Trainings are played but in one test."""

import csv
import json
import os
import signal
import sys
import types

import optuna
import pytest
import tiny

import mdnn
from mdnn.training.run_lock import locked
from mdnn.tuning import search as module

WIDTHS = {"backbone.width": [8, 16, 24, 32]}


class PlayedProcess:
    """A trial whose validation losses are a function of its config.

    Attributes:
        started: the overrides of each trial that was started or continued, a list.
        stop_at: number of a trial that a signal comes in; `None` for none.
    """

    started, stop_at, losses_of, ended = [], None, None, []

    def __init__(self, path, config):
        self.path, self.number = path, int(path.name)
        self.resumed = config is None
        if config is not None:
            path.mkdir(parents=True)
            (path / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        self.config = mdnn.load_config(path / "config.toml")
        PlayedProcess.started.append((self.number, self.config.backbone.width))
        self.all = PlayedProcess.losses_of(self.config)
        self.seen, self.stopped = 0, False

    def checks(self):
        while self.seen < len(self.all):
            self.seen += 1
            if PlayedProcess.stop_at == self.number and not self.resumed:
                os.kill(os.getpid(), signal.SIGINT)
            yield self.losses()

    def losses(self):
        return self.all[: self.seen]

    def stop(self):
        self.stopped = True
        PlayedProcess.ended.append(self.number)

    def result(self):
        return {"parameters": 7, "steps": 300} if self.all else None

    def refusal(self):
        return "this was refused"


@pytest.fixture
def played(monkeypatch):
    """Losses are 3 - width / 16, halved from check to check; no process is started."""

    def losses(config):
        return [(3 - config.backbone.width / 16) / (1 + check) for check in range(8)]

    PlayedProcess.started, PlayedProcess.stop_at, PlayedProcess.ended = [], None, []
    PlayedProcess.losses_of = staticmethod(losses)
    monkeypatch.setattr(module, "TrialProcess", PlayedProcess)
    return PlayedProcess


@pytest.fixture
def config(tmp_path):
    path = tiny.write_config(tmp_path)
    path.write_text(path.read_text().replace("num_evaluations = 2", "num_evaluations = 8"))
    return path


def test_all_of_a_few_combinations_are_tried_and_the_best_is_written(played, config, tmp_path):
    out = tmp_path / "out"
    result = mdnn.search(config, WIDTHS, 1, out, show=False)
    assert sorted(width for _, width in played.started) == [8, 16, 24, 32]
    assert result["best"]["values"] == {"backbone.width": "32"}
    assert result["best"]["loss"] == pytest.approx(1 / 8)
    assert (result["left"], result["signal"]) == (0, None)
    best = mdnn.load_config(out / "best.toml")
    assert best.backbone.width == 32
    assert (out / "best.toml").read_text().startswith("# The best of 4 trials: 0.1250 nats")
    with open(out / "trials.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["backbone.width"] == "32"
    assert len(rows) == 4
    assert (out / "search.png").stat().st_size > 5_000


def test_poor_trials_are_stopped_early(played, config, tmp_path):
    values = {"backbone.width": [8 * n for n in range(1, 7)]}
    result = mdnn.search(config, values, 1, tmp_path / "out", show=False)
    states = {row["trial"]: row["state"] for row in result["rows"]}
    loss = {number: 3 - width / 16 for number, width in played.started}
    # Worse than the median of those before it, and not one of the first two: stopped.
    for number in range(2, 6):
        before = sorted(loss[n] for n in range(number))
        middle = (before[(number - 1) // 2] + before[number // 2]) / 2
        assert (states[number] == "stopped early") == (loss[number] > middle)
        assert (number in played.ended) == (loss[number] > middle)
    assert states[0] == states[1] == "complete"
    assert "stopped early" in states.values()
    early = next(row for row in result["rows"] if row["state"] == "stopped early")
    assert 2 <= len(early["losses"]) < 8


def test_no_trial_is_stopped_after_its_last_check(played, config, tmp_path):
    losses = played.losses_of
    played.losses_of = staticmethod(lambda config: losses(config)[:2])
    values = {"backbone.width": [32, 24, 16, 8]}
    settings = ["train.num_evaluations=2"]
    result = mdnn.search(config, values, 1, tmp_path / "out", settings, show=False)
    assert [row["state"] for row in result["rows"]] == ["complete"] * 4
    assert not played.ended


def test_a_search_that_was_stopped_goes_on_with_its_trial(played, config, tmp_path, capsys):
    out = tmp_path / "out"
    played.stop_at = 1
    result = mdnn.search(config, WIDTHS, 1, out)
    assert result["signal"] == "SIGINT"
    assert played.ended == [1]
    assert [number for number, _ in played.started] == [0, 1]
    assert "trial 1 was stopped: the search can go on with it" in capsys.readouterr().err
    again = mdnn.search(config, WIDTHS, 1, out, resume=True, show=False)
    assert [number for number, _ in played.started] == [0, 1, 1, 2, 3]
    assert sorted({width for _, width in played.started}) == [8, 16, 24, 32]
    assert (again["left"], again["signal"]) == (0, None)
    # There is nothing left: nothing is trained.
    mdnn.search(config, WIDTHS, 1, out, resume=True, show=False)
    assert len(played.started) == 5


def test_a_trial_that_is_still_trained_is_left_alone(played, config, tmp_path):
    """As after `kill -9` of the search alone: it is not marked as failed."""
    out = tmp_path / "out"
    played.stop_at = 0
    mdnn.search(config, WIDTHS, 1, out, show=False)
    path = out / "trials" / "0000"
    with locked(path), pytest.raises(mdnn.MdnnError, match="0000") as refused:
        mdnn.search(config, WIDTHS, 1, out, resume=True, show=False)
    assert "\n" not in str(refused.value)
    assert len(played.started) == 1
    result = mdnn.search(config, WIDTHS, 1, out, resume=True, show=False)
    assert len(result["rows"]) == 4
    assert "failed" not in [row["state"] for row in result["rows"]]


def test_when_the_time_is_over_no_trial_goes_on(played, config, tmp_path, monkeypatch):
    now = iter(range(10_000))
    clock = types.SimpleNamespace(monotonic=lambda: float(next(now)))
    monkeypatch.setattr(module, "time", clock)
    result = mdnn.search(config, WIDTHS, 0.4, tmp_path / "out", show=False)
    assert 0 < result["left"] < 4
    assert len(played.ended) == 1
    assert result["best"]["state"] == "complete"


def test_many_combinations_are_proposed_and_none_twice(played, config, tmp_path):
    values = {"backbone.width": [8, 16, 24, 32], "train.batch_size": [4, 8, 12, 16]}
    result = mdnn.search(config, values, 1, tmp_path / "out", show=False)
    assert len(played.started) == 16
    tried = [tuple(row["values"].values()) for row in result["rows"]]
    assert len(set(tried)) == len(tried) == 16


def test_a_trial_that_is_refused_is_named_and_the_search_goes_on(played, config, tmp_path, capsys):
    losses = played.losses_of
    played.losses_of = staticmethod(lambda c: [] if c.backbone.width == 16 else losses(c))
    result = mdnn.search(config, WIDTHS, 1, tmp_path / "out")
    failed = [row for row in result["rows"] if row["state"] == "failed"]
    assert [row["values"]["backbone.width"] for row in failed] == ["16"]
    assert "backbone.width=16: failed: this was refused" in capsys.readouterr().err
    assert len(result["rows"]) == 4
    assert result["rows"][-1] == failed[0]


def test_searches_that_cannot_be_are_refused(played, config, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(mdnn.MdnnError, match="minutes: expected a number above 0, received 0"):
        mdnn.search(config, WIDTHS, 0, out)
    with pytest.raises(
        mdnn.MdnnError, match=r"train\.num_evaluations: expected at least 1 \(a search"
    ):
        mdnn.search(config, WIDTHS, 1, out, ["train.num_evaluations=0"])
    with pytest.raises(mdnn.MdnnError, match=r"is not a search folder: it has no search\.json"):
        mdnn.search(config, WIDTHS, 1, out, resume=True)
    assert not out.exists()
    mdnn.search(config, WIDTHS, 1, out, show=False)
    with pytest.raises(mdnn.MdnnError, match="out"):
        mdnn.search(config, WIDTHS, 1, out)
    other = {"backbone.width": [8, 16]}
    with pytest.raises(mdnn.MdnnError, match="holds a search with other values"):
        mdnn.search(config, other, 1, out, resume=True)
    with pytest.raises(mdnn.MdnnError, match="holds a search with another config"):
        mdnn.search(config, WIDTHS, 1, out, ["seed=9"], resume=True)


def test_optuna_is_left_as_it_was(played, config, tmp_path, monkeypatch):
    before = optuna.logging.get_verbosity()
    mdnn.search(config, WIDTHS, 1, tmp_path / "out", show=False)
    assert optuna.logging.get_verbosity() == before
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(mdnn.MdnnError, match=r"pip install 'mdnn\[search\]'"):
        mdnn.search(config, WIDTHS, 1, tmp_path / "other", show=False)


@pytest.mark.long
def test_trials_are_runs(config, tmp_path, capfd):
    """From the command line, with real trainings, one of them refused by its own settings."""
    from mdnn.cli.parser import main

    out = tmp_path / "out"
    words = ["search", str(config), "--out", str(out), "--set", "train.steps=40", "--json"]
    tries = ["--try", "backbone.depth=1,2", "--try", "train.batch_size=4,1000000"]
    assert main([*words, "--minutes", "0.01", *tries]) == 0
    assert json.loads(capfd.readouterr().out)["left"] == 4
    assert main([*words, "--minutes", "5", *tries, "--resume"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["left"] == 0
    assert [row["state"] for row in result["rows"]].count("complete") >= 1
    run = out / "trials" / f"{result['best']['trial']:04}"
    assert len(mdnn.generate(run, "The ", length=5)) >= 5
