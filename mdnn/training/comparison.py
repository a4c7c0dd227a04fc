"""Runs side by side: bytes on disk, nats, and how fast they write."""

import statistics
import time
from pathlib import Path

from mdnn.generation.generate import generate
from mdnn.runs.run_folder import WEIGHTS
from mdnn.training.decoding_modes import decoding_mode_shares
from mdnn.training.evaluation import evaluate

# Characters that are written at once to measure how fast, and how often that is done.
CHARACTERS, ROUNDS = 400, 3
# Prompts of a network of items.
PROMPTS = 4
# Puzzles that are solved at once.
PUZZLES = 64


def figures(run, text=None, lines=None, progress=None, puzzles=None):
    """What is compared of a run but its speed.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        text, lines, progress, puzzles: as for `mdnn.training.evaluation.evaluate`.

    Returns:
        dict: `weights` (what they are stored as), `bytes` (of the weights file) and `nats`, a
        dict from each way to write to nats per character (per unit of items).
    """
    given = {"lines": lines, "puzzles": puzzles}
    found = evaluate(run, text, sliding=False, progress=progress, **given)
    ways = found.get("ways", {_way(run): found})
    return {
        "weights": run.dtype,
        "bytes": (Path(run.path) / WEIGHTS).stat().st_size,
        "loss": {way: own["loss"] for way, own in ways.items()},
    }


def speeds(runs, lines=None, rounds=ROUNDS):
    """How fast runs of one config write, in the first way that they were trained for.

    They take turns, each having written once before (to compile), so that what else the machine
    does meets all of them.

    Args:
        runs: list of `mdnn.runs.run_folder.Run`.
        lines: list of `mdnn.datasets.items.item_splits.Example` from which prompts are taken, of
            items.
        rounds: int, how often each is measured.

    Returns:
        list of float: the medians, characters (of items: units) per second; 0.0 where nothing
        was written.
    """
    write = _writing_of_items(lines) if lines else _write_text
    if runs[0].config.context.layout == "puzzle":
        write = _solving()
    for run in runs:
        write(run)
    measured = [[] for _ in runs]
    for _ in range(rounds):
        for own, run in zip(measured, runs, strict=True):
            start = time.perf_counter()
            units = write(run)
            own.append(units / (time.perf_counter() - start))
    return [statistics.median(own) for own in measured]


def _way(run):
    return next(iter(decoding_mode_shares(run.config)))


def _write_text(run):
    prompt = run.config.train.prompt or "The "
    return len(generate(run, prompt, length=CHARACTERS, decoding=_way(run)))


def _writing_of_items(lines):
    # imported late: a text needs no items
    from mdnn.training.item_samples import sample_answers, sample_draws

    def write(run):
        drawn = sample_draws(lines, PROMPTS, run.config.seed, run.config.data.order)
        answers = sample_answers(run, drawn, _way(run))
        return sum(run.item_tokenizer.count(item) for item in answers if item is not None)

    return write


def _solving():
    # imported late: a text needs no puzzles
    from mdnn.training.puzzle_evaluator import PuzzleEvaluator, open_other_puzzles

    kept = {}

    def write(run):
        if id(run) not in kept:
            evaluator = PuzzleEvaluator({"parallel": run.model}, run.config)
            task, *cases = open_other_puzzles(run.config, run.config.data.source)
            kept[id(run)] = evaluator, task, *(rows[:PUZZLES] for rows in cases)
        evaluator, task, puzzles, solutions = kept[id(run)]
        evaluator.answers(task, puzzles, solutions)
        return int(task.asked(puzzles).sum())

    return write


def table(rows, unit="character"):
    """Rows of `figures`, each with its `speed`, as lines of text, the first one being the norm."""
    line = "{:<8} {:>11} {:>7} {:<7} {:>14} {:>8} {:>13}".format
    lines = [line("weights", "bytes", "of it", "way", f"nats/{unit}", "cost", f"{unit}s/s")]
    for row in rows:
        for number, (way, nats) in enumerate(row["loss"].items()):
            first = rows[0]["loss"][way]
            own = (
                (row["weights"], f"{row['bytes']:,}", f"{row['bytes'] / rows[0]['bytes']:.1%}")
                if number == 0
                else ("", "", "")
            )
            cost = f"{nats / first - 1:+.2%}" if row is not rows[0] and first else ""
            speed = f"{row['speed']:,.0f}" if number == 0 else ""
            lines.append(line(*own, way, f"{nats:.4f}", cost, speed).rstrip())
    return lines
