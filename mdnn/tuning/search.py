"""Searches for the values of config keys that give the lowest validation loss: `mdnn search`."""

import json
import sys
import time
from pathlib import Path

from mdnn.config.load import load_config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, read_small_text, write_text
from mdnn.standard_streams import say
from mdnn.training.preparation import anchored
from mdnn.training.progress import clock
from mdnn.training.run_lock import locked
from mdnn.training.signals import Stopping, signal_name
from mdnn.tuning.choices import check_choices, num_combinations, overrides_of, value_texts
from mdnn.tuning.report import trial_words, write_report
from mdnn.tuning.study import Study
from mdnn.tuning.trial_process import TrialProcess, trained_seconds

SEARCH, BEST = "search.json", "best.toml"
MAX_BYTES = 1 << 22


def search(config, choices, minutes, out, overrides=(), resume=False, show=True):
    """Trains a network with one combination of values after another and keeps the best config.

    Each trial is an ordinary run in `out/trials`, trained by `mdnn train` in a process of its own
    with the config's budget, `train.minutes` or `train.steps`. A trial whose validation loss is
    worse than the median of the earlier ones at the same check is stopped. Up to 12 combinations
    are all tried; beyond that, Optuna's TPE sampler proposes the next.

    Args:
        config: path of a config file, or the name of a shipped one.
        choices: dict from config keys to sequences of values, such as
            `{"backbone.depth": [4, 6], "context.grid": [[512], [16, 32]]}`.
        minutes: float, time after which no trial goes on; the last one is stopped and kept.
        out: the folder to make.
        overrides: strings `KEY=VALUE` for all trials.
        resume: bool, whether to continue the search in `out`, for `minutes` more.
        show: bool, whether to print a line for each trial on standard error.

    Returns:
        dict: `best` (a row, or `None` without a complete trial), `rows` (best first; see
        `mdnn.tuning.study.Study.rows`), `left` (number of combinations not tried), `signal`
        (name of the signal that stopped the search, or `None`), `out`.

    Raises:
        MdnnError: an unknown key, a value that no combination can use, no validation checks, an
            `out` that is not empty or belongs to another search, Optuna is not installed.

    Example:
        >>> mdnn.search("text", {"backbone.depth": [4, 6]}, minutes=20, out="runs/depths")
    """
    folder = as_path(out, "out")
    choices = value_texts(choices)
    if not minutes > 0:
        raise MdnnError(f"minutes: expected a number above 0, received {minutes}")
    base = load_config(config, overrides)
    if not base.train.num_evaluations:
        raise MdnnError(
            "train.num_evaluations: expected at least 1 (a search compares validation losses), "
            "received 0"
        )
    check_choices(config, overrides, choices)
    described = {"config": base.to_toml(), "choices": choices}
    if resume:
        _check_same(folder, described)
    else:
        check_new_folder(folder, resumable=True)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        study = Study(folder, choices, base.seed, base.train.num_evaluations)
        write_text(folder / SEARCH, json.dumps(described, indent=1))
        trials = _Search(folder, config, overrides, choices, study, show)
        number = trials.run(time.monotonic() + 60 * minutes)
        rows = study.rows()
        best = next((row for row in rows if row["state"] == "complete"), None)
        if rows:
            write_report(folder, choices, rows)
        if best is not None:
            _write_best(folder, trials.config(best["values"]), best, len(rows))
    left = num_combinations(choices) - len({tuple(r["values"].items()) for r in rows})
    return {
        "best": best,
        "rows": rows,
        "left": left,
        "signal": signal_name(number),
        "out": str(folder),
    }


class _Search:
    """Runs the trials of a search one after the other.

    Args:
        folder: `pathlib.Path` of the search.
        path, overrides, choices: see `search`.
        study: `mdnn.tuning.study.Study`.
        show: bool.
    """

    def __init__(self, folder, path, overrides, choices, study, show):
        self.folder, self.path, self.overrides = folder, path, overrides
        self.choices, self.study, self.show = choices, study, show

    def config(self, values):
        """Returns the `mdnn.Config` of a combination of values."""
        return anchored(load_config(self.path, [*self.overrides, *overrides_of(values)]))

    def run(self, end):
        """Trains until all combinations are tried, the time is up or a signal arrives.

        Args:
            end: float, time on the clock of `time.monotonic`.

        Returns:
            int, the signal that stopped the search, or `None`.
        """
        with Stopping() as stopping:
            while time.monotonic() < end and not stopping.asked:
                trial = self.study.next_trial()
                if trial is None:
                    break
                self._train(trial, end, stopping)
            return stopping.number

    def _train(self, trial, end, stopping):
        """Trains a trial to its end, or stops it; a trial stopped for time stays open."""
        values = self.study.values(trial)
        path = self.folder / "trials" / f"{trial.number:04}"
        if path.exists():
            # The trial of a search that was killed may still be trained.
            with locked(path):
                pass
        try:
            config = None if path.exists() else self.config(values)
        except MdnnError as error:
            self._finish(trial, values, None, "FAIL", end, reason=str(error))
            return
        process, seen = TrialProcess(path, config), None
        try:
            for losses in process.checks():
                if time.monotonic() >= end or stopping.asked:
                    process.stop()
                    self._say(f"trial {trial.number} was stopped: the search can go on with it")
                    return
                if len(losses) != seen and self.study.is_poor(trial, losses):
                    process.stop()
                    self._finish(trial, values, losses[-1], "PRUNED", end, path)
                    return
                seen = len(losses)
        except BaseException:
            process.stop()
            raise
        result, losses = process.result(), process.losses()
        if result is None or not losses:
            self._finish(trial, values, None, "FAIL", end, path, reason=process.refusal())
            return
        self.study.is_poor(trial, losses)
        facts = {"parameters": result["parameters"], "steps": result["steps"]}
        self._finish(trial, values, losses[-1], "COMPLETE", end, path, **facts)

    def _finish(self, trial, values, loss, state, end, path=None, **facts):
        seconds = 0.0 if path is None else trained_seconds(path)
        self.study.finish(trial, loss, state, seconds=seconds, **facts)
        row = next(row for row in self.study.rows() if row["trial"] == trial.number)
        count = f"trial {trial.number} ({len(self.study.rows())} of "
        count += f"{num_combinations(self.choices)})"
        self._say(f"{count}: {trial_words(row)}; {clock(end - time.monotonic())} left")

    def _say(self, text):
        if self.show and sys.stderr is not None:
            say(text)


def _check_same(folder, described):
    """Refuses to continue a search other than the one in the folder."""
    path = folder / SEARCH
    if not path.is_file():
        raise MdnnError(f"{folder} is not a search folder: it has no {SEARCH}")
    try:
        before = json.loads(read_small_text(path, MAX_BYTES))
    except ValueError:
        raise MdnnError(f"{path}: expected JSON as a search writes it") from None
    for name, value in described.items():
        if not isinstance(before, dict) or before.get(name) != value:
            what = "another config" if name == "config" else "other values"
            raise MdnnError(f"{folder} holds a search with {what}")


def _write_best(folder, config, best, count):
    """Writes the config of the best trial with its result in a comment at the top."""
    trials = "1 trial" if count == 1 else f"{count} trials"
    head = (
        f"# The best of {trials}: {best['loss']:.4f} nats of validation loss after "
        f"{best['steps']:,} steps.\n# {', '.join(overrides_of(best['values']))}\n\n"
    ).replace("\r", " ")
    write_text(Path(folder) / BEST, head + config.to_toml())
