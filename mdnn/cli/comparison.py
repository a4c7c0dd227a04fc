"""Compares runs: bytes on disk, loss in nats, and generation speed."""

import statistics
import time
from pathlib import Path

from mdnn.runs.run_files import WEIGHTS
from mdnn.tasks.registry import task_for

# How often the writing speed of each run is measured.
ROUNDS = 3


def metrics_of(run, data=None, progress=None):
    """Returns the compared metrics of a run, except its speed.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        data, progress: as for `mdnn.tasks.evaluate.evaluate`.

    Returns:
        dict: `weights` (their storage format), `bytes` (of the weights file) and `loss`, a
        dict from each decoding mode to nats per unit.
    """
    task = task_for(run.config, run.words)
    data = task.validation if data is None else task.check_data(data)
    metrics = task.evaluator(task.networks(run.model)).metrics(data, progress)
    modes = metrics.get("modes", {next(iter(task.mode_shares)): metrics})
    return {
        "weights": run.dtype,
        "bytes": (Path(run.path) / WEIGHTS).stat().st_size,
        "loss": {mode: own["loss"] for mode, own in modes.items()},
    }


def speeds(runs, data=None, rounds=ROUNDS):
    """Measures the generation speed of runs of one config, in their first trained decoding mode.

    Runs are measured in turns, after one warm-up each, so that other work on the machine affects
    all of them alike.

    Args:
        runs: list of `mdnn.runs.run_folder.Run`.
        data: as for `mdnn.tasks.evaluate.evaluate`; prompts are taken from them.
        rounds: int, number of measurements of each.

    Returns:
        list of float: the medians, units per second; 0.0 where nothing was written.
    """
    task = task_for(runs[0].config, runs[0].words)
    writers = [task.measured_writer(run, data) for run in runs]
    for write in writers:
        write()
    measured = [[] for _ in runs]
    for _ in range(rounds):
        for seconds, write in zip(measured, writers, strict=True):
            start = time.perf_counter()
            length = write()
            seconds.append(length / (time.perf_counter() - start))
    return [statistics.median(seconds) for seconds in measured]


def comparison_table(rows, unit="character"):
    """Returns rows of `figures`, each with its `speed`, as lines; the first is the reference."""
    line = "{:<8} {:>11} {:>7} {:<16} {:>14} {:>8} {:>13}".format
    lines = [line("weights", "bytes", "of it", "mode", f"nats/{unit}", "cost", f"{unit}s/s")]
    for row in rows:
        for number, (mode, loss) in enumerate(row["loss"].items()):
            first = rows[0]["loss"][mode]
            own = (
                (row["weights"], f"{row['bytes']:,}", f"{row['bytes'] / rows[0]['bytes']:.1%}")
                if number == 0
                else ("", "", "")
            )
            cost = f"{loss / first - 1:+.2%}" if row is not rows[0] and first else ""
            speed = f"{row['speed']:,.0f}" if number == 0 else ""
            lines.append(line(*own, mode, f"{loss:.4f}", cost, speed).rstrip())
    return lines
