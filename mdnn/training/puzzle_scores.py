"""How well a network solves puzzles: answers that are exact, slots that are right, nats."""

import numpy as np

from mdnn.data.puzzle_batches import exact, puzzle_windows
from mdnn.data.puzzles.corpus import open_puzzles
from mdnn.errors import MdnnError
from mdnn.models.compiling import without_xla
from mdnn.tokens.puzzles import puzzle_source

# Slots in one call.
CALL_SLOTS = 32_768


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
    same = own == puzzle_source(data.source)[0]
    drawn = (data.givens, data.loops) if same else ((), 0.0)
    expected = puzzle_source(data.source)[0]
    corpus = open_puzzles(source, data.validation if path is None else 0.0, 0, *drawn, expected)
    check_size(corpus.task, config)
    return corpus.task, *corpus.held.different(data.cases if path is None else 10**9)


def check_size(task, config):
    """Refuses puzzles of another size than the network's grid.

    Raises:
        MdnnError: the first of them has more or fewer slots.
    """
    if task.slots != config.context.slots:
        raise MdnnError(
            f"expected puzzles of {config.context.slots} slots, the network's context.grid = "
            f"{list(config.context.grid)}; received a {task.name} of {task.slots}"
        )


class PuzzleScorer:
    """Answers of a network, compiled once.

    Args:
        networks: dict from ways to networks, as `mdnn.training.ways.wired` gives it.
        config: their config.
    """

    def __init__(self, networks, config):
        self.model = networks["once"]
        without_xla(self.model)
        self.batch = max(1, min(256, CALL_SLOTS // config.context.slots))

    def answers(self, task, puzzles, solutions, progress=None):
        """What the network answers.

        Args:
            task: `mdnn.data.puzzles.task.Task`.
            puzzles, solutions: uint8 `[n, slots]`.
            progress: function called with the part that is done, 0 to 1.

        Returns:
            Answers, uint8 `[n, slots]`, what is given among them; and the nats of each slot's
            solution, float64 `[n, slots]`, 0 where nothing is asked for.
        """
        answers, nats = puzzles.copy(), np.zeros(puzzles.shape)
        windows = puzzle_windows(task, puzzles, solutions, self.batch)
        for start, window in zip(range(0, len(puzzles), self.batch), windows, strict=True):
            inputs = {name: window[name] for name in ("tokens", "targets")}
            scores = np.asarray(self.model.predict_on_batch(inputs), dtype="float64")
            own = slice(start, start + self.batch)
            asked, right = task.asked(puzzles[own]), solutions[own].astype(np.int64)
            scores = scores[: len(right)]
            chosen = scores[..., : len(task.alphabet)].argmax(axis=-1)
            answers[own] = np.where(asked, chosen, puzzles[own])
            total = np.logaddexp.reduce(scores, axis=-1)
            own_score = np.take_along_axis(scores, right[..., None], axis=-1)[..., 0]
            nats[own] = np.where(asked, total - own_score, 0.0)
            if progress is not None:
                progress(min(1.0, (start + self.batch) / len(puzzles)))
        return answers, nats

    def figures(self, task, puzzles, solutions, progress=None):
        """What `evaluate` says of cases: a dict.

        `puzzles` (how many), `exact` (the share all of whose slots that are asked for are right),
        `right` (the share of these slots), and `nats` of a slot.
        """
        answers, nats = self.answers(task, puzzles, solutions, progress)
        asked = task.asked(puzzles)
        return {
            "puzzles": len(puzzles),
            "exact": float(exact(task, puzzles, solutions, answers).mean()),
            "right": float((answers == solutions)[asked].mean()),
            "nats": float(nats.sum() / max(1, asked.sum())),
        }


def in_words(figures):
    """A line of what `PuzzleScorer.figures` gives."""
    return (
        f"{100 * figures['exact']:.2f}% of {figures['puzzles']:,} puzzles exact, "
        f"{100 * figures['right']:.2f}% of slots right, {figures['nats']:.4f} nats per slot"
    )
