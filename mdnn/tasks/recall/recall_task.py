"""Defines the task of recall: answers repeat earlier entries of their context."""

import functools

from mdnn.config.recall_rules import RECALL_RULES
from mdnn.datasets.recall.recall_batches import RecallBatches
from mdnn.datasets.recall.recall_examples import RecallExamples
from mdnn.errors import MdnnError
from mdnn.tasks.base import Task
from mdnn.tasks.batch_evaluator import MAX_POSITIONS
from mdnn.tasks.recall.recall_evaluator import RecallEvaluator
from mdnn.tasks.text_task import TextTask

OF_TEXT = ("needle", "passages")
"""Kinds whose contexts are made of a text."""

TEST_SEED = 1 << 40
"""Seed of the contexts to validate on, the same for every training seed."""


class RecallTask(TextTask):
    """Trains networks to recall earlier entries of a context, `context.layout = "recall"`.

    `[recall]` defines the entries (`mdnn.datasets.recall.recall_examples`). Contexts are texts
    drawn from (seed, step); only answers count in the loss. Evaluation data are `RecallBatches`.
    """

    rules = RECALL_RULES
    unit = "answer"
    evaluation_options = ()

    # === Data ===

    @functools.cached_property
    def splits(self):
        """The text around needles or of passages in two parts; `None` for kinds without a text."""
        return TextTask.splits.func(self) if self.config.recall.kind in OF_TEXT else None

    @functools.cached_property
    def batches(self):
        train = None if self.splits is None else self.splits.train
        return self._batches(train, self.config.train.batch_size, self.config.seed)

    @functools.cached_property
    def validation(self):
        held_out = None if self.splits is None else self.splits.validation
        return self._validation(held_out)

    def _validation(self, ids):
        contexts, positions = self.config.recall.contexts, self.config.context.positions
        batch = max(1, min(contexts, 32, MAX_POSITIONS // positions))
        return self._batches(ids, batch, TEST_SEED, steps=-(-contexts // batch))

    def _batches(self, ids, batch, seed, **more):
        config = self.config
        positions, row = config.context.positions, config.context.grid[-1]
        examples = RecallExamples(config.recall, positions, ids, row)
        return RecallBatches(examples, self.tokenizer, batch, seed, **more)

    def open_source(self, source):
        if self.config.recall.kind not in OF_TEXT:
            raise MdnnError(
                f"data: a network of recall.kind = {self.config.recall.kind!r} draws its contexts; "
                f"expected no source, received {source!r}"
            )
        return super().open_source(source)

    def check_data(self, data):
        if isinstance(data, RecallBatches):
            return data
        if isinstance(data, str) and self.config.recall.kind in OF_TEXT:
            return self._validation(self.tokenizer.ids(data))
        raise MdnnError(
            "data: expected RecallBatches or, with needles and passages, a string; received "
            f"{type(data).__name__}"
        )

    head_tokens = Task.head_tokens
    units_per_token = 1.0
    density_losses = Task.density_losses

    @property
    def units_per_step(self):
        answers = self.config.recall.num_answers(self.config.context.grid)
        return float(self.config.train.batch_size * answers)

    def measure_for(self, model):
        """Measures nothing: the config is sufficient."""

    # === Figures ===

    def evaluator(self, networks):
        return RecallEvaluator(networks, self.config)

    def final_metrics(self, evaluator, limit, progress=None, say=None):
        return evaluator.metrics(self.validation, progress)

    evaluate = Task.evaluate

    def format_metrics(self, metrics):
        among = ""
        if self.config.recall.kind == "passages":
            among = f"{metrics['right_in_10']:.2%} among the ten likeliest, "
        return [
            f"{metrics['right']:.2%} of {metrics['answers']:,} answers right, {among}"
            f"{metrics['exact']:.2%} of {metrics['contexts']:,} contexts in all answers, "
            f"{metrics['loss']:.4f} nats per character of an answer"
        ]

    # === Generation ===

    def example_prompts(self, count=3):
        """Returns contexts of the validation data up to their first answer."""
        ids, answers = self.validation.examples.draw(TEST_SEED, 0, count)
        return [
            self.tokenizer.text(row[: int(places.min()) + 1])
            for row, places in zip(ids, answers, strict=True)
        ]

    def sample(self, run, step, title, say):
        """Prints no sample; the metrics report the share of right answers.

        Args:
            run, step, title, say: see `mdnn.tasks.base.Task.sample`.
        """
