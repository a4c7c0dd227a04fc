"""Defines the task of texts: windows of one long text."""

import functools
import math
import re

import numpy as np

from mdnn.config.built_in_tasks import TEXT_RULES
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.datasets.text.text_sources import PYTHON_DOCS, read_text
from mdnn.datasets.text.text_splits import open_text
from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.generation.options import GenerationOptions
from mdnn.generation.text_decoding import generate_text, stream_text, text_length
from mdnn.models.chunks.surprise_cut import measure_surprise
from mdnn.tasks.base import Task
from mdnn.tasks.density_rule import WINDOWS, measure_rule
from mdnn.tasks.head_init import text_tokens
from mdnn.tasks.positions.position_losses import format_positions
from mdnn.tasks.text_evaluator import TextEvaluator, spread
from mdnn.tokens.text_tokenizers import has_vocabulary, text_tokenizer

# Number of characters generated to measure the speed of a network.
MEASURED_CHARACTERS = 400


# Number of tokens searched for each example prompt.
EXAMPLE_REACH = 2000


class TextTask(Task):
    """Trains on one long text, `context.layout = "stream"`.

    Evaluation data are int32 `[n]`, the token ids of a text.
    """

    rules = TEXT_RULES
    unit = "character"
    streams_text = True
    exported_as = "mdnn.serving.export.text_signature:ExportedTexts"
    evaluation_options = ("sliding", "by_position")

    # === Data ===

    @functools.cached_property
    def splits(self):
        """The training and validation texts, a `mdnn.datasets.text.text_splits.TextSplits`."""
        data = self.config.data
        tokens = self.config.tokens
        tokenizer = text_tokenizer(tokens, self._words) if self._words else None
        return open_text(
            data.source,
            data.validation,
            tokenizer,
            tokens.words,
            at_least=self.config.context.text_positions + 1,
            encoding=data.encoding,
            mix=[(mixed.source, mixed.share) for mixed in data.mix],
            subwords=tokens.subwords,
            subword_kind=tokens.subword_kind,
            memory_map=data.memory_map,
            subword_dropout=tokens.subword_dropout,
            seed=self.config.seed,
        )

    @functools.cached_property
    def tokenizer(self):
        """The tokenizer (`mdnn.tokens.text_tokenizers`); opens the data if its vocabulary must be
        learned."""
        if self._words is None and has_vocabulary(self.config.tokens):
            return self.splits.tokenizer
        return text_tokenizer(self.config.tokens, self._words or ())

    @property
    def words(self):
        return tuple(self.tokenizer.vocabulary)

    @functools.cached_property
    def batches(self):
        config = self.config
        return TextBatches(
            self.splits.train,
            self.tokenizer,
            config.context.text_positions,
            config.train.batch_size,
            config.seed,
            padding=config.context.padding,
            # Purely autoregressive batches need no objectives and then contain no weights.
            objectives=config.train.objectives if config.train.objectives.whole else None,
            mixed=self.splits.mixed,
            slots=config.context.slots,
        )

    @property
    def validation(self):
        return self.splits.validation

    def open_source(self, source):
        return read_text(source, self.config.data.encoding)

    def check_data(self, data):
        if isinstance(data, str):
            return self.tokenizer.ids(data)
        if isinstance(data, np.ndarray):
            return data
        raise MdnnError(f"data: expected a string or token ids, received {type(data).__name__}")

    @staticmethod
    def absolute_source(source):
        return source if source == PYTHON_DOCS else Task.absolute_source(source)

    def head_tokens(self):
        return text_tokens(self.splits.train, self.tokenizer)

    def measure_for(self, model):
        # Tokens of the whole text take 32 bytes for each character.
        if any(hasattr(block, "cutter") for block in model.blocks):
            measure_surprise(model, self.tokenizer.tokens(self.splits.train))

    @functools.cached_property
    def units_per_token(self):
        if not has_vocabulary(self.config.tokens):
            return 1.0
        splits = self.splits
        plain = 1 - sum(share for _, share in splits.mixed)
        texts = [(splits.train, plain), *splits.mixed]
        return float(sum(share * self.tokenizer.lengths(ids).mean() for ids, share in texts))

    @property
    def units_per_step(self):
        context = self.config.context
        return self.config.train.batch_size * context.text_positions * self.units_per_token

    # === Figures ===

    def evaluator(self, networks):
        return TextEvaluator(networks, self.config, self.tokenizer)

    def final_metrics(self, evaluator, limit, progress=None, say=None):
        ids = self.validation
        if limit and len(ids) > limit:
            # At least one window and the token after it.
            limit = min(len(ids), max(limit, self.config.context.text_positions + 1))
            ids = spread(ids, limit, pieces=max(1, min(16, limit // 1024)))
            self._say_limit(say, len(ids), len(self.validation), "tokens of the validation text")
        return evaluator.metrics(ids, progress)

    def density_losses(self, run):
        if "autoregressive" in self.mode_shares:
            ids = spread(self.validation, WINDOWS * self.config.context.positions)
            measure_rule(run, ids).write(run.path)
        return super().density_losses(run)

    def evaluate(
        self, model, data=None, step_counts=None, progress=None, sliding=True, by_position=False
    ):
        """Returns the metrics of a network; see `mdnn.evaluate`.

        Args:
            model, data, step_counts, progress: see `mdnn.tasks.base.Task.evaluate`.
            sliding: bool, whether to also evaluate in windows that overlap by half.
            by_position: bool, whether to also return the loss in ranges of positions.
        """
        options = {"sliding": sliding, "by_position": by_position}
        return super().evaluate(model, data, step_counts, progress, **options)

    def format_metrics(self, metrics):
        modes, positions = (
            metrics.get("modes", {"autoregressive": metrics}),
            self.config.context.text_positions,
        )
        lines = [
            f"{one['loss']:.4f} nats, {one['bits_per_character']:.4f} bits per character "
            f"({mode}: {one['characters']:,} masked characters in windows of {positions})"
            for mode, one in modes.items()
            if mode != "autoregressive"
        ]
        if "mean_density" in metrics:
            shares = ", ".join(f"{d}: {share:.0%}" for d, share in metrics["shares"].items())
            lines.append(f"density {metrics['mean_density']:.3g} on average ({shares} of windows)")
        if "mean_steps" in metrics:
            lines.append(f"{metrics['mean_steps']:.3g} refeed steps per position on average")
        if "autoregressive" not in modes:
            return lines
        lines.append(
            f"{metrics['loss']:.4f} nats, {metrics['bits_per_character']:.4f} bits per character: "
            f"each character is guessed as well as one of {math.exp(metrics['loss']):.1f} equally "
            f"likely ones ({metrics['characters']:,} characters, consecutive windows of "
            f"{positions})"
        )
        if "loss_sliding" in metrics:
            lines.append(
                f"{metrics['loss_sliding']:.4f} nats, "
                f"{metrics['bits_per_character_sliding']:.4f} bits per character (sliding window: "
                f"at least {positions - max(1, positions // 2)} positions before each counted "
                "character)"
            )
        return lines + format_positions(metrics.get("by_position", []))

    def measured_writer(self, run, data):
        mode, prompt = next(iter(self.mode_shares)), self.config.train.prompt or "The "
        options = GenerationOptions(length=MEASURED_CHARACTERS, decoding=mode)
        return lambda: len(self.generate(run, prompt, options))

    # === Generation ===

    def generate(self, run, prompt, options, stream=None, progress=None):
        return generate_text(run, prompt, options, stream, progress)

    def read_prompt(self, run, values, convert=False):
        if len(values) > 1 or values[0][0] != "--prompt":
            raise MdnnError("this network continues one text: expected one --prompt")
        return values[0][1]

    def answer_kinds(self, options):
        text_length(options)
        return ["text"]

    def example_prompts(self, count=3):
        """Returns the beginnings of some lines of the validation text, at most 48 characters each.

        Args:
            count: int, maximum number of prompts.
        """
        found = []
        for k in range(count):
            start = len(self.validation) * (2 * k + 1) // (2 * count)
            text = self.tokenizer.text(self.validation[start : start + EXAMPLE_REACH])
            lines = (line.strip() for line in text.split("\n")[1:])
            prose = (line for line in lines if re.match(r"[^\W\d_][\w ,'-]{15,}", line))
            if line := next(prose, ""):
                found.append(line if len(line) <= 48 else line[:48].rpartition(" ")[0])
        return list(dict.fromkeys(found))

    def sample(self, run, step, title, say):
        """Writes a sample text into `samples/` and shows it.

        Does nothing unless autoregressive decoding is trained.

        Args:
            run, step, title, say: see `mdnn.tasks.base.Task.sample`.
        """
        train = self.config.train
        if "autoregressive" not in self.mode_shares:
            return
        # A training writes two texts: XLA would take longer to compile than they take.
        written = stream_text(run.model, self.tokenizer, train.prompt, train.sample, xla=False)
        text = train.prompt + "".join(written)
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
