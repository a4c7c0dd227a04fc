"""Solves puzzles with puzzle networks."""

import functools
import math

import numpy as np

from mdnn.datasets.puzzles.puzzle_splits import make_task
from mdnn.errors import MdnnError
from mdnn.generation.options.option_checks import check_seed
from mdnn.generation.options.option_words import GUIDANCE_OPTIONS, TEXT_OPTIONS
from mdnn.models.thinking.grid_resizing import at_grid_size
from mdnn.models.thinking.halting import CERTAIN
from mdnn.models.thinking.recurrent_inference import (
    RecurrentInference,
    check_halts,
    check_num_starts,
    steps_by_length,
)
from mdnn.tokens.symbols import PuzzleName, puzzle_source, to_tokens

WRITING_OPTIONS = (
    "output",
    "length",
    "preset",
    "temperature",
    "top_k",
    "top_p",
    "num_denoising_steps",
    "revise",
    *GUIDANCE_OPTIONS,
    *TEXT_OPTIONS,
)
"""Options that have no effect on puzzles."""


def solve_puzzles(run, prompt, options, stream=None):
    """Solves puzzles with a network; see `mdnn.generate`.

    Args:
        run: `mdnn.runs.run_folder.Run` of a puzzle network.
        prompt: str, the symbols of a puzzle, in a single line or in the lines of the grid. Several
            lines determine the size, which may differ from the training size if the weights do not
            depend on it. Or a list of such str.
        options: `GenerationOptions`.
        stream: function called with the number of steps and the current answer, a str, after every
            refeed step of a single puzzle with `num_starts` 1; or `None`.

    Returns:
        The answer, a str in the format of the puzzle; for a list of puzzles a list of str.

    Raises:
        MdnnError: an invalid puzzle, a puzzle without a solution, an unsupported size, or an
            option that is out of range or has no effect on puzzles.
    """
    options.refuse(WRITING_OPTIONS, "puzzle")
    if options.decoding not in (None, "parallel"):
        raise MdnnError(
            f"decoding has no effect on puzzle models; remove it (got {options.decoding!r})"
        )
    check_num_starts(options.num_starts, run.config)
    if options.adaptive:
        if options.steps is not None:
            raise MdnnError("adaptive: cannot be combined with steps; received both")
        check_halts(run.config)
    if not isinstance(prompt, (list, tuple)):
        return _solve(run, prompt, options, stream)
    if not prompt:
        raise MdnnError("expected at least one puzzle, received none")
    return [_solve(run, puzzle, options) for puzzle in prompt]


def _solve(run, puzzle, options, stream=None):
    task, symbols = read_puzzle(run.config, puzzle)
    solver, unknown = _solver(run, task), task.unknown_mask(symbols[None])
    tokens, stillest, best = to_tokens(symbols[None], task.shape), math.inf, None
    tell = stream if options.num_starts == 1 else None
    seed = check_seed(options.seed)
    for start in range(seed, seed + options.num_starts):
        each = tell is not None
        for steps, state in _iterate(solver, tokens, unknown, start, options, each):
            chosen = state["scores"][0, :, : len(task.alphabet)].argmax(axis=-1)
            answer = _format(task, np.where(unknown[0], chosen, symbols), puzzle)
            if tell is not None:
                tell(steps, answer)
        if best is None or state["change"][0] < stillest:
            stillest, best = state["change"][0], answer
    return best


def read_puzzle(config, puzzle):
    """Parses a puzzle given as text.

    Args:
        config: `mdnn.Config` of the network.
        puzzle: str, see `solve_puzzles`.

    Returns:
        The `mdnn.datasets.puzzles.puzzle.Puzzle` of this size, and the indices of the symbols,
        uint8 `[positions]`.

    Raises:
        MdnnError: another kind or size, an unknown symbol, or a puzzle without a solution.
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
    symbols = task.symbols("".join(lines))
    wrong, _ = task.solve(symbols[None])
    if wrong:
        raise MdnnError(f"this {task.name} cannot be solved: {wrong[0]}")
    return task, symbols


def _task(config):
    """Returns the kind of puzzle that a network was trained on."""
    name = puzzle_source(config.data.source)[0]
    if name is None:
        side = math.isqrt(config.context.positions)
        name = PuzzleName("sudoku", (side, side))
    return make_task(name)


def _solver(run, task):
    """Returns the `RecurrentInference` of a run for the size of a kind of puzzle."""
    model, config = run.model, run.config
    own_size = task.name == _task(config).name
    return _compiled_solver(model, config, None if own_size else task.name)


@functools.lru_cache(maxsize=8)
def _compiled_solver(model, config, name):
    """Returns the cached `RecurrentInference` of a network.

    Args:
        model: the network.
        config: its `mdnn.Config`.
        name: str, name of a puzzle of another size; `None`: the training size.
    """
    if name is not None:
        model, config = at_grid_size(model, config, PuzzleName.of(name))
    return RecurrentInference(model, config, batch=1)


def _iterate(solver, tokens, unknown, seed, options, each):
    """Yields the number of refeed steps and the solver's state.

    With `each` after every step; with `options.adaptive` after every `refeed.steps` steps until the
    halting head stops; otherwise only after the last step.
    """
    refeed, states, done = solver.refeed, solver.begin([0], seed), 0
    most = options.steps
    if most is None and refeed.step_schedule == "length":
        most = int(steps_by_length(refeed.steps_by_length, unknown)[0])
    most = most or refeed.steps * refeed.supervision_steps
    while done < most:
        count = 1 if each else refeed.steps if options.adaptive else most
        state = solver.advance(tokens, states, count)
        states, done = state["states"], done + count
        yield done, state
        if options.adaptive and done % refeed.steps == 0 and state["stop"][0] > CERTAIN:
            return


def _format(task, symbols, puzzle):
    """Formats an answer as text with the line length of its puzzle."""
    text = task.text(symbols)
    width = len(puzzle.strip("\n").split("\n")[0])
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))
