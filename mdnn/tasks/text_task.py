"""Texts: windows of one long text, continued character by character."""

import functools
import math

import numpy as np

from mdnn.config.built_in_tasks import TEXT_RULES
from mdnn.data.batches import Batches
from mdnn.data.corpus import open_data
from mdnn.data.sources import PYTHON_DOCS, read_text
from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.generation.text import write
from mdnn.tasks.base import Task
from mdnn.tasks.head_init import text_tokens
from mdnn.tasks.text_evaluator import TextEvaluator
from mdnn.tokens.text import TextCodec

# Characters that are written to measure how fast a network writes.
MEASURED_CHARACTERS = 400


class TextTask(Task):
    """A text to train on, `context.layout = "stream"`.

    Its evaluation data are int32 `[n]`, a text's units.
    """

    rules = TEXT_RULES
    unit = "character"
    evaluation_options = ("sliding",)

    # === Data ===

    @functools.cached_property
    def splits(self):
        """The source's text in two parts, a `mdnn.data.corpus.Corpus`."""
        data = self.config.data
        codec = TextCodec(self._words) if self._words else None
        return open_data(
            data.source,
            data.validation,
            codec,
            self.config.tokens.words,
            at_least=self.config.context.slots + 1,
        )

    @functools.cached_property
    def codec(self):
        """The `mdnn.tokens.text.TextCodec`; opens the data where the table of words is missing."""
        if self._words is None and self.config.tokens.words:
            return self.splits.codec
        return TextCodec(self._words or ())

    @property
    def words(self):
        return tuple(self.codec.words)

    @functools.cached_property
    def batches(self):
        config = self.config
        return Batches(
            self.splits.train,
            self.codec,
            config.context.slots,
            config.train.batch,
            config.seed,
            padding=config.context.padding,
            # Without objectives batches have no weights.
            objectives=config.train.objectives if config.train.objectives.whole else None,
        )

    @property
    def validation(self):
        return self.splits.validation

    def open_source(self, source):
        return read_text(source)

    def check_data(self, data):
        if isinstance(data, str):
            return self.codec.units(data)
        if isinstance(data, np.ndarray):
            return data
        raise MdnnError(f"a network of text is evaluated on a text, received {type(data).__name__}")

    @staticmethod
    def absolute_source(source):
        return source if source == PYTHON_DOCS else Task.absolute_source(source)

    def head_tokens(self):
        return text_tokens(self.splits.train, self.codec)

    @functools.cached_property
    def units_per_token(self):
        return float(self.codec.lengths(self.splits.train).mean())

    @property
    def units_per_step(self):
        return self.config.train.batch * self.config.context.slots * self.units_per_token

    # === Figures ===

    def evaluator(self, networks):
        return TextEvaluator(networks, self.config, self.codec)

    def evaluate(self, model, data=None, refeeds=None, progress=None, sliding=True):
        """Returns the metrics of a network; see `mdnn.evaluate`.

        Args:
            model, data, refeeds, progress: see `mdnn.tasks.base.Task.evaluate`.
            sliding: whether the text is also read in windows that overlap by half.
        """
        return super().evaluate(model, data, refeeds, progress, sliding=sliding)

    def format_metrics(self, metrics):
        modes, slots = metrics.get("ways", {"turn": metrics}), self.config.context.slots
        lines = [
            f"{one['nats']:.4f} nats, {one['bits_per_character']:.4f} bits per character "
            f"({mode}: {one['characters']:,} characters that are blank in windows of {slots})"
            for mode, one in modes.items()
            if mode != "turn"
        ]
        if "turn" not in modes:
            return lines
        lines.append(
            f"{metrics['nats']:.4f} nats, {metrics['bits_per_character']:.4f} bits per character, "
            f"as one guess among {math.exp(metrics['nats']):.1f} ({metrics['characters']:,} "
            f"characters, consecutive windows of {slots})"
        )
        if "nats_sliding" in metrics:
            lines.append(
                f"{metrics['nats_sliding']:.4f} nats, "
                f"{metrics['bits_per_character_sliding']:.4f} bits per character (sliding window: "
                f"at least {slots - max(1, slots // 2)} slots before each counted character)"
            )
        return lines

    def measured_writer(self, run, data):
        # imported late: training needs nothing of it
        from mdnn.generation.answers import generate

        mode, prompt = next(iter(self.mode_shares)), self.config.train.prompt or "The "
        return lambda: len(generate(run, prompt, length=MEASURED_CHARACTERS, how=mode))

    # === Answering ===

    def sample(self, run, step, title, say):
        """Writes some text into `samples/` and shows it, where writing in turn is trained."""
        train = self.config.train
        if "turn" not in self.mode_shares:
            return
        text = train.prompt + "".join(write(run.model, self.codec, train.prompt, train.sample))
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
