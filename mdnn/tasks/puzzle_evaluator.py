"""How well a network solves puzzles: exact answers, right positions, nats."""

import numpy as np

from mdnn.datasets.batches.puzzle_batches import exact
from mdnn.models.thinking.grid_resizing import at_grid_size, check_size_free
from mdnn.models.thinking.recurrent_inference import (
    RecurrentInference,
    check_halts,
    check_restarts,
    steps_by_length,
)
from mdnn.tokens.symbols import PuzzleName, puzzle_source, to_tokens

# Puzzles that a quick evaluation looks at.
QUICK_PUZZLES = 256


def check_size(kind, config):
    """Refuses puzzles of a size that the network cannot take.

    Raises:
        MdnnError: the network's weights belong to a grid of another size.
    """
    if not fits(kind, config):
        check_size_free(config, f"a {kind.name} of {kind.positions} positions")


def fits(kind, config):
    """Returns whether puzzles of a kind are of the size that a network was built for."""
    trained = puzzle_source(config.data.source)[0]
    return (
        kind.positions == config.context.positions if trained is None else kind.name == str(trained)
    )


class PuzzleEvaluator:
    """Answers puzzles, compiled once for each size of them.

    Args:
        networks: dict from decoding modes to networks, as `mdnn.tasks.base.Task.networks`
            returns it.
        config: their config.
    """

    def __init__(self, networks, config):
        self.model, self.config = networks["parallel"], config
        self.solvers = {}

    def solver(self, kind):
        """Returns the `RecurrentInference` for the size of a kind of puzzles."""
        if kind.shape not in self.solvers:
            model, config = self.model, self.config
            if not fits(kind, config):
                model, config = at_grid_size(model, config, PuzzleName.of(kind.name))
            self.solvers[kind.shape] = RecurrentInference(model, config)
        return self.solvers[kind.shape]

    def answers(self, data, progress=None, adaptive=False):
        """Answers puzzles in as many steps as the config says.

        Args:
            data: `(kind, puzzles, solutions)`: a `mdnn.datasets.puzzles.puzzle.Puzzle` and two
                arrays uint8 `[n, positions]`.
            progress: function called with the fraction that is done, 0 to 1.
            adaptive: whether the halting head ends a puzzle before.

        Returns:
            Answers, uint8 `[n, positions]`, the given symbols among them; the nats of each
            position's solution, float64 `[n, positions]`, 0 where nothing is asked for; and the
            steps of each puzzle, integers `[n]`.
        """
        kind, puzzles, solutions = data
        refeed = self.config.refeed
        if adaptive:
            check_halts(self.config)
        asked = kind.asked(puzzles)
        if refeed.step_schedule == "length":
            steps = steps_by_length(refeed.steps_by_length, asked)
        else:
            steps = np.full(len(puzzles), refeed.steps * refeed.supervision_steps)
        answers, nats = puzzles.copy(), np.zeros(puzzles.shape)
        taken = np.zeros(len(puzzles), dtype=np.int64)
        finished = self.solver(kind).finished(
            to_tokens(puzzles, kind.shape), steps, adaptive, progress=progress
        )
        for number, count, scores in finished:
            one = slice(number, number + 1)
            answers[one], nats[one] = read(kind, puzzles[one], solutions[one], scores[None])
            taken[number] = count
        return answers, nats, taken

    def metrics(self, data, progress=None, adaptive=False):
        """Returns what `mdnn.evaluate` says of puzzles, a dict.

        `puzzles` (how many), `exact` (the share of puzzles all of whose asked positions are right),
        `right` (the share of the asked positions), `loss` per position, and `mean_steps`, the
        mean number of steps.
        """
        answers, nats, taken = self.answers(data, progress, adaptive)
        return counted(*data, answers, nats) | {"mean_steps": float(taken.mean())}

    def quick(self, data):
        """Returns nats per position on some of the puzzles, a dict."""
        kind, puzzles, solutions = data
        some = kind, puzzles[:QUICK_PUZZLES], solutions[:QUICK_PUZZLES]
        return {"parallel": self.metrics(some)["loss"]}

    def curve(self, data, step_counts, num_starts=1, progress=None):
        """Returns the metrics after each of some numbers of steps, a list of dicts.

        Args:
            data, progress: as for `answers`.
            step_counts: increasing list of ints from 1.
            num_starts: int, random states that each puzzle begins in; its answer is that of the one
                which the last step moved least.

        Returns:
            A dict for each number: what `metrics` returns, and `change`, how far the last step
            moved a state, as a share of its norm, the mean of all puzzles.
        """
        kind, puzzles, solutions = data
        check_restarts(num_starts, self.config)
        tokens = to_tokens(puzzles, kind.shape)
        best = {
            steps: (puzzles.copy(), np.zeros(puzzles.shape), np.full(len(puzzles), np.inf))
            for steps in step_counts
        }
        for seed in range(num_starts):

            def tell(fraction, before=seed):
                if progress is not None:
                    progress((before + fraction) / num_starts)

            for index, steps, outputs in self.solver(kind).curve(tokens, step_counts, seed, tell):
                answers, nats, change = (array[index] for array in best[steps])
                one = read(kind, puzzles[index], solutions[index], outputs["scores"])
                # A change that is not a number counts as the largest one.
                moved = np.nan_to_num(outputs["change"], nan=np.finfo("float32").max)
                stiller = moved < change
                answers[stiller], nats[stiller] = (array[stiller] for array in one)
                change[stiller] = moved[stiller]
        return [
            {"steps": steps}
            | counted(kind, puzzles, solutions, answers, nats)
            | {"change": float(change.mean())}
            for steps, (answers, nats, change) in best.items()
        ]


def read(kind, puzzles, solutions, scores):
    """Returns answers and nats of puzzles, as `PuzzleEvaluator.answers`, for the heads' scores."""
    asked, right = kind.asked(puzzles), solutions.astype(np.int64)
    scores = scores.astype("float64")
    chosen = scores[..., : len(kind.alphabet)].argmax(axis=-1)
    right_score = np.take_along_axis(scores, right[..., None], axis=-1)[..., 0]
    nats = np.where(asked, np.logaddexp.reduce(scores, axis=-1) - right_score, 0.0)
    return np.where(asked, chosen, puzzles).astype(puzzles.dtype), nats


def counted(kind, puzzles, solutions, answers, nats):
    """Returns the metrics of answers: see `PuzzleEvaluator.metrics`."""
    asked = kind.asked(puzzles)
    return {
        "puzzles": len(puzzles),
        "exact": float(exact(kind, puzzles, solutions, answers).mean()),
        "right": float((answers == solutions)[asked].mean()),
        "loss": float(nats.sum() / max(1, asked.sum())),
    }
