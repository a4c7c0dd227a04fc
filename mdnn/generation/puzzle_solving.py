"""Answers to puzzles: thought about step by step, shown while they change."""

import math

import numpy as np

from mdnn.datasets.puzzles.puzzle_splits import make_task
from mdnn.errors import MdnnError
from mdnn.models.grid_resizing import at_grid_size
from mdnn.models.halting import CERTAIN
from mdnn.models.recurrent_inference import (
    RecurrentInference,
    check_halts,
    check_refeeds,
    check_restarts,
    steps_by_length,
)
from mdnn.tokens.symbols import PuzzleName, puzzle_source, to_tokens


def solve(run, puzzle, steps=None, num_starts=1, adaptive=False, stream=None, seed=0):
    """A network's answer to a puzzle.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of puzzles.
        puzzle: its symbols in a row, as a string, or line by line: then its size is read from
            the lines, and may be another than the network was trained on where its weights
            allow it. A list of such strings: several puzzles.
        steps: int, steps; `None`: the config's number.
        num_starts: int, random states to begin in; the answer is that of the one which the last
            step moved least.
        adaptive: whether the halting head says when it is enough.
        stream: function called with the number of steps and the answer so far, a string, after
            every step; of a single puzzle with one start.
        seed: int, of random states to begin in.

    Returns:
        The answer, a string of the puzzle's form; or a list of them.

    Raises:
        MdnnError: no such puzzle, one without a solution, a size that the network was not built
            for, or a setting beyond its limits.
    """
    check_restarts(num_starts, run.config)
    if steps is not None:
        (steps,) = check_refeeds(steps if isinstance(steps, int) else [steps])
        if adaptive:
            raise MdnnError("adaptive: expected no steps beside it, received both")
    if adaptive:
        check_halts(run.config)
    if isinstance(puzzle, (list, tuple)):
        if not puzzle:
            raise MdnnError("expected at least one puzzle, received none")
        return [solve(run, one, steps, num_starts, adaptive, seed=seed) for one in puzzle]
    task, units = read_puzzle(run.config, puzzle)
    solver, asked = _solver(run, task), task.asked(units[None])
    tokens, stillest, best = to_tokens(units[None], task.shape), math.inf, None
    tell = stream if num_starts == 1 else None
    how = steps, adaptive, tell is not None
    for start in range(seed, seed + num_starts):
        for steps, found in _thoughts(solver, tokens, asked, start, *how):
            chosen = found["scores"][0, :, : len(task.alphabet)].argmax(axis=-1)
            answer = _form(task, np.where(asked[0], chosen, units), puzzle)
            if tell is not None:
                tell(steps, answer)
        if best is None or found["change"][0] < stillest:
            stillest, best = found["change"][0], answer
    return best


def read_puzzle(config, puzzle):
    """The task and the units of a puzzle that is written as text.

    Args:
        config: the config of the network that is to solve it.
        puzzle: string, see `solve`.

    Raises:
        MdnnError: another kind or size, an unknown symbol, a puzzle that cannot be solved.
    """
    if not isinstance(puzzle, str) or not puzzle.strip("\n"):
        raise MdnnError(f"prompt: expected a puzzle's symbols, received {puzzle!r}")
    task, lines = _task(config), puzzle.strip("\n").split("\n")
    if len(lines) > 1 or (len(task.shape) == 1 and len(lines[0]) != task.positions):
        if len(set(map(len, lines))) > 1:
            raise MdnnError(f"prompt: expected lines of one length, received {puzzle!r}")
        sizes = (len(lines), len(lines[0])) if len(lines) > 1 else (len(lines[0]),)
        kind = task.name.rpartition("-")[0]
        if kind != "addition" and sizes != task.shape:
            task = make_task(PuzzleName(kind, sizes))
    units = task.units("".join(lines))
    wrong, _ = task.solve(units[None])
    if wrong:
        raise MdnnError(f"this {task.name} cannot be solved: {wrong[0]}")
    return task, units


def _task(config):
    """The task that a network was trained on."""
    name = puzzle_source(config.data.source)[0]
    if name is None:
        side = math.isqrt(config.context.positions)
        name = PuzzleName("sudoku", (side, side))
    return make_task(name)


def _solver(run, task):
    """The `RecurrentInference` of a run for a task's size, kept with the run."""
    kept = vars(run).setdefault("_solvers", {})
    if task.shape not in kept:
        model, config = run.model, run.config
        if task.name != _task(config).name:
            model, config = at_grid_size(model, config, PuzzleName.of(task.name))
        kept[task.shape] = RecurrentInference(model, config, batch=1)
    return kept[task.shape]


def _thoughts(solver, tokens, asked, seed, steps, adaptive, each):
    """Yields `(steps, what RecurrentInference.advance gives)` after every step, or where it is
    looked at."""
    refeed, states, done = solver.refeed, solver.begin([0], seed), 0
    if steps is None and refeed.step_schedule == "length":
        steps = int(steps_by_length(refeed.steps_by_length, asked)[0])
    most = steps or refeed.steps * refeed.supervision_steps
    while done < most:
        step = 1 if each else refeed.steps if adaptive else most
        found = solver.advance(tokens, states, step)
        states, done = found["states"], done + step
        yield done, found
        if adaptive and done % refeed.steps == 0 and found["stop"][0] > CERTAIN:
            return


def _form(task, units, puzzle):
    """An answer written as its puzzle was."""
    text = task.text(units)
    width = len(puzzle.strip("\n").split("\n")[0])
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))
