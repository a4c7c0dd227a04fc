"""Defines the task of puzzles: each position of a symbol grid predicts its own symbol."""

import functools

from mdnn.config.built_in_tasks import PUZZLE_RULES
from mdnn.datasets.batches.puzzle_batches import PuzzleBatches
from mdnn.datasets.puzzles.board_text import drawn, side_by_side
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import read_small_text, write_text
from mdnn.generation.puzzle_solving import solve_puzzles
from mdnn.models.thinking.deep_supervision import DeepSupervisionLoss
from mdnn.models.thinking.recurrent_inference import check_halts, check_num_starts
from mdnn.tasks.base import Task
from mdnn.tasks.batch_evaluator import cached_evaluator
from mdnn.tasks.puzzle_evaluator import PuzzleEvaluator, check_puzzle_size
from mdnn.tasks.puzzle_feed import CarriedPuzzles, VariableDepthPuzzles
from mdnn.tokens.symbols import puzzle_source

# Number of puzzles solved together to measure the speed of a network.
MEASURED_PUZZLES = 64

# Maximum size of a file of puzzles to solve, in bytes.
MAX_PROMPT_BYTES = 1 << 20


class PuzzleTask(Task):
    """Trains on puzzles, `context.layout = "puzzle"`.

    Evaluation data are `(kind, puzzles, solutions)`: a `mdnn.datasets.puzzles.puzzle.Puzzle` and
    two arrays uint8 `[n, positions]`.
    """

    rules = PUZZLE_RULES
    exported_as = None
    unit = "position"
    evaluation_options = ("num_starts", "adaptive")
    # The loss model carries the refeed states of the whole batch.
    divisible = False

    # === Data ===

    @functools.cached_property
    def splits(self):
        """The training and validation puzzles, a
        `mdnn.datasets.puzzles.puzzle_splits.PuzzleSplits`."""
        data = self.config.data
        splits = open_puzzles(
            data.source,
            data.validation,
            self.config.seed,
            data.givens,
            data.loops,
            encoding=data.encoding,
        )
        check_puzzle_size(splits.task, self.config)
        return splits

    @functools.cached_property
    def batches(self):
        config = self.config
        return PuzzleBatches(self.splits.train, config.train.batch_size, config.loss.prompt)

    @functools.cached_property
    def validation(self):
        return self.splits.task, *self.splits.validation.different(self.config.data.validation_size)

    def open_source(self, source):
        """Opens puzzles of another source.

        Returns:
            `(kind, puzzles, solutions)`: all puzzles of a file, or the held-out puzzles of a
            generated source.
        """
        kind, path = puzzle_source(source)
        data = self.config.data
        expected = puzzle_source(data.source)[0]
        same = None not in (kind, expected) and kind.kind == expected.kind
        options = (data.givens, data.loops) if same else ((), 0.0)
        share = data.validation if path is None else 0.0
        splits = open_puzzles(source, share, 0, *options, expected, data.encoding)
        check_puzzle_size(splits.task, self.config)
        return splits.task, *splits.validation.different(
            data.validation_size if path is None else 10**9
        )

    def check_data(self, data):
        if not isinstance(data, tuple) or len(data) != 3:
            raise MdnnError(
                f"data: expected a tuple (kind, puzzles, solutions), received {type(data).__name__}"
            )
        return data

    @staticmethod
    def absolute_source(source):
        name, path = puzzle_source(source)
        if path is None or not as_path(path, "source").is_file():
            return source
        path = str(as_path(path, "source").resolve())
        return path if name is None else f"{name}:{path}"

    @functools.cached_property
    def units_per_step(self):
        kind, puzzles, _ = self.validation
        return self.config.train.batch_size * float(kind.unknown_mask(puzzles).sum(1).mean())

    # === Learning ===

    def loss_model(self, network, loss):
        return DeepSupervisionLoss(network, loss, self.config)

    def feed(self):
        carried = self.config.refeed.supervision_steps > 1
        make = CarriedPuzzles if carried else VariableDepthPuzzles
        return make(self.config, self.batches, self.splits.task)

    # === Figures ===

    def evaluator(self, networks):
        return PuzzleEvaluator(networks, self.config)

    def evaluate(
        self, model, data=None, step_counts=None, progress=None, num_starts=1, adaptive=False
    ):
        """Returns the metrics of a network; see `mdnn.evaluate`.

        Args:
            model, data, step_counts, progress: see `mdnn.tasks.base.Task.evaluate`.
            num_starts: int, number of random initial states per puzzle (only with `step_counts`);
                the state with the smallest change in the last step gives the answer.
            adaptive: bool, whether the halting head may stop each puzzle earlier.
        """
        if adaptive:
            if step_counts is not None:
                raise MdnnError("adaptive: cannot be combined with steps; received both")
            check_halts(self.config)
        if step_counts is None and num_starts != 1:
            raise MdnnError(f"num_starts: expected steps, too, received num_starts = {num_starts}")
        check_num_starts(num_starts, self.config)
        data = self.validation if data is None else self.check_data(data)
        evaluator = cached_evaluator(self, model)
        if step_counts is None:
            return evaluator.metrics(data, progress, adaptive)
        return evaluator.curve(data, step_counts, num_starts, progress)

    def format_metrics(self, metrics):
        # An integer mean implies that all puzzles took the same number of steps.
        count = metrics["mean_steps"]
        mean = "" if count == int(count) else " on average"
        steps = f" after {count:.4g} steps{mean}" if count > 1 else ""
        return [
            f"{100 * metrics['exact']:.2f}% of {metrics['puzzles']:,} puzzles exact{steps}, "
            f"{100 * metrics['right']:.2f}% of positions right, {metrics['loss']:.4f} nats per "
            "position"
        ]

    def measured_writer(self, run, data):
        kind, puzzles, solutions = data
        puzzles, solutions = puzzles[:MEASURED_PUZZLES], solutions[:MEASURED_PUZZLES]
        evaluator = cached_evaluator(self, run.model)

        def solve():
            evaluator.answers((kind, puzzles, solutions))
            return int(kind.unknown_mask(puzzles).sum())

        return solve

    # === Generation ===

    def generate(self, run, prompt, options, stream=None, progress=None):
        return solve_puzzles(run, prompt, options, stream)

    def read_prompt(self, run, values, convert=False):
        """Returns a list of puzzles; each line of a file is one.

        Args:
            run, values, convert: see `mdnn.tasks.base.Task.read_prompt`.
        """
        puzzles = []
        for option, value in values:
            if option == "--prompt":
                # Accept real line breaks, and \\n as typed in a shell.
                puzzles.append(value.replace("\\n", "\n"))
            else:
                text = read_small_text(as_path(value, option), MAX_PROMPT_BYTES)
                puzzles += [line for line in text.splitlines() if line]
        return puzzles

    def sample(self, run, step, title, say):
        """Writes a puzzle and its answer as text into `samples/`, and shows them.

        Args:
            run, step, title, say: see `mdnn.tasks.base.Task.sample`.
        """
        kind, puzzles, solutions = self.validation
        evaluator = cached_evaluator(self, run.model)
        answers, _, _ = evaluator.answers((kind, puzzles[:1], solutions[:1]))
        boards = [
            ("puzzle", drawn(kind, puzzles[0])),
            ("answer", drawn(kind, answers[0], puzzles[0], solutions[0])),
        ]
        text = side_by_side(boards)
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
