"""Evaluates puzzle networks: exact answers, correct positions, loss."""

import numpy as np

from mdnn.datasets.batches.puzzle_batches import exact
from mdnn.models.thinking.grid_resizing import at_grid_size, check_size_free
from mdnn.models.thinking.recurrent_inference import (
    RecurrentInference,
    check_halts,
    check_num_starts,
    steps_by_length,
)
from mdnn.recently_used import recently_used
from mdnn.tokens.symbols import PuzzleName, puzzle_source, to_tokens

# Maximum number of puzzles in a quick evaluation.
QUICK_PUZZLES = 256
# Most sizes of puzzles for which a compiled network is kept.
MAX_SIZES = 8


def check_puzzle_size(kind, config):
    """Refuses puzzles of a size that the network does not support.

    Args:
        kind: `mdnn.datasets.puzzles.puzzle.Puzzle`.
        config: `mdnn.Config` of the network.

    Raises:
        MdnnError: the network's weights depend on the grid size, and the puzzles have another size.
    """
    if not fits(kind, config):
        check_size_free(config, f"a {kind.name} of {kind.positions} positions")


def fits(kind, config):
    """Returns whether puzzles of a kind have the size that a network was built for."""
    trained = puzzle_source(config.data.source)[0]
    return (
        kind.positions == config.context.positions if trained is None else kind.name == str(trained)
    )


class PuzzleEvaluator:
    """Solves puzzles and compares the answers; compiled once for each puzzle size.

    Args:
        networks: dict from decoding modes to networks, as returned by
            `mdnn.tasks.base.Task.networks`.
        config: `mdnn.Config` of the networks.
    """

    def __init__(self, networks, config):
        self.model, self.config = networks["parallel"], config
        self.solvers = {}

    def solver(self, kind):
        """Returns the cached `RecurrentInference` for the size of a kind of puzzles."""

        def make():
            model, config = self.model, self.config
            if not fits(kind, config):
                model, config = at_grid_size(model, config, PuzzleName.of(kind.name))
            return RecurrentInference(model, config)

        solver = recently_used(self.solvers, kind.shape, make, MAX_SIZES)
        if solver.network is not self.model:
            # A copy for another size: the network may have been trained since.
            solver.network.set_weights(self.model.get_weights())
        return solver

    def answers(self, data, progress=None, adaptive=False):
        """Solves puzzles with the number of refeed steps in the config.

        Args:
            data: `(kind, puzzles, solutions)`: a `mdnn.datasets.puzzles.puzzle.Puzzle` and two
                arrays uint8 `[n, positions]`.
            progress: function called with the completed fraction, 0 to 1.
            adaptive: bool, whether the halting head may stop a puzzle earlier.

        Returns:
            Answers, uint8 `[n, positions]`, including the given symbols; the negative
            log-likelihood of the solution in nats, float64 `[n, positions]`, 0 at given positions;
            and the number of steps of each puzzle, int64 `[n]`.
        """
        kind, puzzles, solutions = data
        refeed = self.config.refeed
        if adaptive:
            check_halts(self.config)
        unknown = kind.unknown_mask(puzzles)
        if refeed.step_schedule == "length":
            steps = steps_by_length(refeed.steps_by_length, unknown)
        else:
            steps = np.full(len(puzzles), refeed.steps * refeed.supervision_steps)
        answers, nll = puzzles.copy(), np.zeros(puzzles.shape)
        taken = np.zeros(len(puzzles), dtype=np.int64)
        finished = self.solver(kind).finished(
            to_tokens(puzzles, kind.shape), steps, adaptive, progress=progress
        )
        for number, count, scores in finished:
            one = slice(number, number + 1)
            answers[one], nll[one] = read(kind, puzzles[one], solutions[one], scores[None])
            taken[number] = count
        return answers, nll, taken

    def metrics(self, data, progress=None, adaptive=False):
        """Returns the metrics of puzzles, as in `mdnn.evaluate`.

        Args:
            data, progress, adaptive: see `answers`.

        Returns:
            dict of `puzzles` (their number), `exact` (fraction of puzzles solved completely),
            `right` (fraction of unknown positions that match the solution), `loss` (nats per
            unknown position) and `mean_steps` (mean number of refeed steps).
        """
        answers, nll, taken = self.answers(data, progress, adaptive)
        return puzzle_metrics(*data, answers, nll) | {"mean_steps": float(taken.mean())}

    def quick(self, data):
        """Returns the loss on the first puzzles.

        Returns:
            dict from the mode to nats per unknown position.
        """
        kind, puzzles, solutions = data
        some = kind, puzzles[:QUICK_PUZZLES], solutions[:QUICK_PUZZLES]
        return {"parallel": self.metrics(some)["loss"]}

    def curve(self, data, step_counts, num_starts=1, progress=None):
        """Returns the metrics after several numbers of refeed steps.

        Args:
            data, progress: see `answers`.
            step_counts: increasing list of ints, each at least 1.
            num_starts: int, number of random initial states per puzzle; the state with the smallest
                change in the last step gives the answer.

        Returns:
            List of dicts, one per number of steps: `steps`, `puzzles`, `exact`, `right` and `loss`
            (see `metrics`), and `change`, the relative change of the state in the last step, as a
            fraction of its norm, averaged over the puzzles.
        """
        kind, puzzles, solutions = data
        check_num_starts(num_starts, self.config)
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
                answers, nll, change = (array[index] for array in best[steps])
                one = read(kind, puzzles[index], solutions[index], outputs["scores"])
                # NaN counts as the largest possible change.
                moved = np.nan_to_num(outputs["change"], nan=np.finfo("float32").max)
                stiller = moved < change
                answers[stiller], nll[stiller] = (array[stiller] for array in one)
                change[stiller] = moved[stiller]
        return [
            {"steps": steps}
            | puzzle_metrics(kind, puzzles, solutions, answers, nll)
            | {"change": float(change.mean())}
            for steps, (answers, nll, change) in best.items()
        ]


def read(kind, puzzles, solutions, scores):
    """Returns the answers and the nats of the solutions for given logits.

    Args:
        kind, puzzles, solutions: see `PuzzleEvaluator.answers`.
        scores: `[n, positions, classes]`, the logits of the heads.

    Returns:
        Answers, uint8 `[n, positions]`, and nats, float64 `[n, positions]`; see
        `PuzzleEvaluator.answers`.
    """
    unknown, right = kind.unknown_mask(puzzles), solutions.astype(np.int64)
    scores = scores.astype("float64")
    chosen = scores[..., : len(kind.alphabet)].argmax(axis=-1)
    right_score = np.take_along_axis(scores, right[..., None], axis=-1)[..., 0]
    nll = np.where(unknown, np.logaddexp.reduce(scores, axis=-1) - right_score, 0.0)
    return np.where(unknown, chosen, puzzles).astype(puzzles.dtype), nll


def puzzle_metrics(kind, puzzles, solutions, answers, nll):
    """Returns the metrics of answers; see `PuzzleEvaluator.metrics`."""
    unknown = kind.unknown_mask(puzzles)
    return {
        "puzzles": len(puzzles),
        "exact": float(exact(kind, puzzles, solutions, answers).mean()),
        "right": float((answers == solutions)[unknown].mean()),
        "loss": float(nll.sum() / max(1, unknown.sum())),
    }
