"""How well a network solves puzzles: answers that are exact, positions that are right, nats."""

import numpy as np

from mdnn.datasets.batches.puzzle_batches import exact
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.models.grid_resizing import at_grid_size, check_size_free
from mdnn.models.recurrent_inference import (
    RecurrentInference,
    check_halts,
    check_restarts,
    steps_by_length,
)
from mdnn.tokens.symbols import PuzzleName, puzzle_source, to_tokens


def open_config_puzzles(config):
    """The `PuzzleCorpus` of a config of puzzles."""
    data = config.data
    corpus = open_puzzles(data.source, data.validation, config.seed, data.givens, data.loops)
    check_size(corpus.task, config)
    return corpus


def open_other_puzzles(config, source):
    """Cases of another source to evaluate on: of a file all, of a task those held out.

    Args:
        config: the run's config.
        source: as `data.source`.

    Returns:
        The task, puzzles and solutions.

    Raises:
        MdnnError: puzzles that the network was not built for.
    """
    own, path = puzzle_source(source)
    data = config.data
    expected = puzzle_source(data.source)[0]
    same = None not in (own, expected) and own.kind == expected.kind
    drawn = (data.givens, data.loops) if same else ((), 0.0)
    corpus = open_puzzles(source, data.validation if path is None else 0.0, 0, *drawn, expected)
    check_size(corpus.task, config)
    return corpus.task, *corpus.held.different(data.validation_size if path is None else 10**9)


def check_size(task, config):
    """Refuses puzzles of a size that the network cannot take.

    Raises:
        MdnnError: the network's weights belong to a grid of another size.
    """
    if not fits(task, config):
        check_size_free(config, f"a {task.name} of {task.positions} positions")


def fits(task, config):
    """Whether a task's puzzles are of the size that a network was built for."""
    own = puzzle_source(config.data.source)[0]
    return task.positions == config.context.positions if own is None else task.name == str(own)


class PuzzleEvaluator:
    """Answers of a network, compiled once for each size of its puzzles.

    Args:
        networks: dict from ways to networks, as `mdnn.training.decoding_modes.networks_by_mode`
            gives it.
        config: their config.
    """

    def __init__(self, networks, config):
        self.model, self.config = networks["parallel"], config
        self.solvers = {}

    def solver(self, task):
        """The `mdnn.models.recurrent_inference.RecurrentInference` of a task's size."""
        if task.shape not in self.solvers:
            model, config = self.model, self.config
            if not fits(task, config):
                model, config = at_grid_size(model, config, PuzzleName.of(task.name))
            self.solvers[task.shape] = RecurrentInference(model, config)
        return self.solvers[task.shape]

    def answers(self, task, puzzles, solutions, progress=None, adaptive=False):
        """What the network answers after as many steps as its config says.

        Args:
            task: `mdnn.datasets.puzzles.puzzle.Puzzle`.
            puzzles, solutions: uint8 `[n, positions]`.
            progress: function called with the part that is done, 0 to 1.
            adaptive: whether the halting head ends it before.

        Returns:
            Answers, uint8 `[n, positions]`, what is given among them; the nats of each position's
            solution, float64 `[n, positions]`, 0 where nothing is asked for; and the steps of each
            puzzle, integers `[n]`.
        """
        refeed = self.config.refeed
        if adaptive:
            check_halts(self.config)
        asked = task.asked(puzzles)
        if refeed.step_schedule == "length":
            wanted = steps_by_length(refeed.steps_by_length, asked)
        else:
            wanted = np.full(len(puzzles), refeed.steps * refeed.supervision_steps)
        answers, nats = puzzles.copy(), np.zeros(puzzles.shape)
        taken = np.zeros(len(puzzles), dtype=np.int64)
        found = self.solver(task).finished(
            to_tokens(puzzles, task.shape), wanted, adaptive, progress=progress
        )
        for number, steps, scores in found:
            own = slice(number, number + 1)
            answers[own], nats[own] = read(task, puzzles[own], solutions[own], scores[None])
            taken[number] = steps
        return answers, nats, taken

    def figures(self, task, puzzles, solutions, progress=None, adaptive=False):
        """What `evaluate` says of cases: a dict.

        `puzzles` (how many), `exact` (the share all of whose positions that are asked for are
        right), `right` (the share of these positions), `nats` of a position, and `steps`, the mean
        number of steps.
        """
        answers, nats, taken = self.answers(task, puzzles, solutions, progress, adaptive)
        return counted(task, puzzles, solutions, answers, nats) | {"steps": float(taken.mean())}

    def curve(self, task, puzzles, solutions, steps, num_starts=1, progress=None):
        """Figures after each of some numbers of steps: a list of dicts.

        Args:
            task, puzzles, solutions, progress: as for `answers`.
            steps: increasing list of ints from 1.
            restarts: int, random states that each puzzle begins in; its answer is that of the one
                which the last step moved least.

        Returns:
            A dict for each number: what `figures` gives, and `change`, how far the last step moved
            a state, as a share of its norm, the mean of all puzzles.
        """
        check_restarts(num_starts, self.config)
        tokens = to_tokens(puzzles, task.shape)
        best = {
            number: (puzzles.copy(), np.zeros(puzzles.shape), np.full(len(puzzles), np.inf))
            for number in steps
        }
        for seed in range(num_starts):

            def tell(part, before=seed):
                if progress is not None:
                    progress((before + part) / num_starts)

            for own, number, found in self.solver(task).curve(tokens, steps, seed, tell):
                answers, nats, change = (kept[own] for kept in best[number])
                read_answers, read_nats = read(task, puzzles[own], solutions[own], found["scores"])
                # What is no number moved as far as can be.
                moved = np.nan_to_num(found["change"], nan=np.finfo("float32").max)
                stiller = moved < change
                answers[stiller], nats[stiller] = read_answers[stiller], read_nats[stiller]
                change[stiller] = moved[stiller]
        return [
            counted(task, puzzles, solutions, answers, nats)
            | {"steps": number, "change": float(change.mean())}
            for number, (answers, nats, change) in best.items()
        ]


def read(task, puzzles, solutions, scores):
    """Answers and nats of cases, as `PuzzleEvaluator.answers` gives them, for scores of the
    heads."""
    asked, right = task.asked(puzzles), solutions.astype(np.int64)
    scores = scores.astype("float64")
    chosen = scores[..., : len(task.alphabet)].argmax(axis=-1)
    own_score = np.take_along_axis(scores, right[..., None], axis=-1)[..., 0]
    nats = np.where(asked, np.logaddexp.reduce(scores, axis=-1) - own_score, 0.0)
    return np.where(asked, chosen, puzzles).astype(puzzles.dtype), nats


def counted(task, puzzles, solutions, answers, nats):
    """The figures of answers: see `PuzzleEvaluator.figures`."""
    asked = task.asked(puzzles)
    return {
        "puzzles": len(puzzles),
        "exact": float(exact(task, puzzles, solutions, answers).mean()),
        "right": float((answers == solutions)[asked].mean()),
        "loss": float(nats.sum() / max(1, asked.sum())),
    }


# Columns of a table of figures by steps: key, head, and form of a number.
COLUMNS = (
    ("steps", "steps", "{:,}"),
    ("exact", "exact", "{:.2%}"),
    ("right", "right", "{:.2%}"),
    ("loss", "loss", "{:.4f}"),
    ("loss_sliding", "nats, sliding", "{:.4f}"),
    ("change", "last change", "{:.2e}"),
)


def curve_lines(curve):
    """A table of what `evaluate` gives for several steps: a list of lines."""
    shown = [column for column in COLUMNS if column[0] in curve[0]]
    rows = [[head for _, head, _ in shown]]
    rows += [[form.format(row[key]) for key, _, form in shown] for row in curve]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in rows]


def format_metrics(figures):
    """A line of what `PuzzleEvaluator.figures` gives."""
    # Of puzzles that took as many steps each it is a whole number.
    mean = "" if figures["steps"] == int(figures["steps"]) else " in the mean"
    steps = f" after {figures['steps']:.4g} steps{mean}" if figures["steps"] > 1 else ""
    return (
        f"{100 * figures['exact']:.2f}% of {figures['puzzles']:,} puzzles exact{steps}, "
        f"{100 * figures['right']:.2f}% of positions right, {figures['loss']:.4f} nats per position"
    )
