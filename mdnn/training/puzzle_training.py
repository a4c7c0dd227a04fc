"""What the loop needs to know of puzzles: batches, the heads' start, figures, samples."""

from mdnn.datasets.batches.puzzle_batches import PuzzleBatches
from mdnn.datasets.puzzles.board_text import drawn, side_by_side
from mdnn.files import write_text
from mdnn.tokens.features import MODALITY
from mdnn.training.puzzle_evaluator import PuzzleEvaluator, open_config_puzzles

# Held out cases that a check on the way looks at.
CHECK_CASES = 256


class PuzzleData:
    """Puzzles to train on, layout `"puzzle"`.

    Args:
        config: `mdnn.Config`.

    Attributes:
        batches: `mdnn.datasets.batches.puzzle_batches.PuzzleBatches` of the cases to train on.
        tests: puzzles and solutions that are held out, uint8 `[n, positions]`.
        words: no words.
        unit: what figures are per.
        per_unit: 1.
        per_step: float, positions that a step is asked for.

    Raises:
        MdnnError: a source that cannot be read, puzzles of another size than the network's.
    """

    unit, per_unit, words = "position", 1.0, ()

    def __init__(self, config):
        self.config = config
        corpus = open_config_puzzles(config)
        self.task = corpus.task
        self.batches = PuzzleBatches(corpus.train, config.train.batch_size, config.loss.prompt)
        self.tests = corpus.held.different(config.data.validation_size)
        self.per_step = config.train.batch_size * float(
            self.task.asked(self.tests[0]).sum(1).mean()
        )

    def rows(self):
        """Token rows from whose frequencies the heads start, int32 `[n, 8]`."""
        targets = self.batches.at(0)["targets"]
        return targets[targets[..., MODALITY] > 0]

    def write_about(self, path):
        """Writes into a run folder what is to be known of the data: nothing but the config."""

    def evaluator(self, networks):
        """The `PuzzleEvaluator` of networks as `mdnn.training.decoding_modes.networks_by_mode`
        gives them."""
        return PuzzleEvaluator(networks, self.config)

    def check(self, evaluator):
        """Nats per position on some of the cases that are held out, a dict."""
        some = (cases[:CHECK_CASES] for cases in self.tests)
        return {"parallel": evaluator.figures(self.task, *some)["loss"]}

    def figures(self, evaluator):
        """What `evaluate` says of the cases that are held out."""
        return evaluator.figures(self.task, *self.tests)

    def sample(self, run, step, title, say):
        """Draws a puzzle and its answer into samples/, and shows them."""
        puzzle, solution = (cases[:1] for cases in self.tests)
        answers, _, _ = self.evaluator({"parallel": run.model}).answers(self.task, puzzle, solution)
        boards = [
            ("puzzle", drawn(self.task, puzzle[0])),
            ("answer", drawn(self.task, answers[0], puzzle[0], solution[0])),
        ]
        text = side_by_side(boards)
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
