"""Defines the task of items: texts, pictures, videos and sounds in one context.

The last item of a context is the answer.
"""

import collections
import collections.abc
import functools

import numpy as np

from mdnn.config.built_in_tasks import ITEM_RULES
from mdnn.datasets.batches.context_plan import planned_contexts
from mdnn.datasets.batches.item_batches import ItemBatches, item_windows
from mdnn.datasets.items.example import load_item
from mdnn.datasets.items.item_splits import open_dataset
from mdnn.datasets.text.text_sources import DIGITS
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.generation.item_generation import generate_items, read_prompt_file
from mdnn.generation.output_spec import parse_output
from mdnn.runs.item_statistics import write_item_statistics
from mdnn.tasks.base import Task
from mdnn.tasks.item_evaluator import ItemEvaluator
from mdnn.tasks.item_samples import sample_answers, sample_draws, sample_sheet
from mdnn.tokens.features import MODALITY
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import kinds_of, modality
from mdnn.tokens.word_table import word_table

# Positions of the contexts used to estimate head biases and tokens per step, and the minimum and
# maximum numbers of these contexts.
START_POSITIONS, LEAST_CONTEXTS, MOST_CONTEXTS = 2**22, 16, 512
# Maximum number of shapes per kind listed in a run folder.
LISTED_SHAPES = 64
# Number of prompts used to measure generation speed.
MEASURED_PROMPTS = 4


class ItemTask(Task):
    """Trains on examples made of items, `context.layout = "items"`.

    Evaluation data are lists of `mdnn.datasets.items.item_splits.Example`.
    """

    rules = ITEM_RULES
    exported_as = "mdnn.serving.export.item_signatures:ExportedItems"
    unit = "token"

    # === Data ===

    @functools.cached_property
    def splits(self):
        """The training and validation examples, a
        `mdnn.datasets.items.item_splits.DatasetSplits`."""
        return self._open(self.config.data.source, self.config.data.validation)

    def _open(self, source, validation):
        config = self.config
        kinds = kinds_of(config.tokens.modalities)
        return open_dataset(
            source,
            validation,
            config.seed,
            config.tokens.sample_rate,
            kinds,
            config.data.convert,
            config.data.encoding,
        )

    @functools.cached_property
    def validation(self):
        lines = self.splits.validation
        if not lines:
            raise MdnnError(
                f"data.validation: {self.config.data.source!r} has no validation examples; "
                "expected a share above 0, or a manifest that names some"
            )
        return lines

    def open_source(self, source):
        splits = self._open(source, 0.0)
        return splits.train + splits.validation

    def final_metrics(self, evaluator, limit, progress=None, say=None):
        most = max(1, limit // self.config.context.positions) if limit else None
        count = len(planned_contexts(self.validation, self.config.data.order))
        if most is not None and most < count:
            self._say_limit(say, most, count, "contexts of the validation lines")
        return evaluator.metrics(self.validation, progress, most)

    def check_data(self, data):
        if isinstance(data, str) or not isinstance(data, collections.abc.Sequence):
            raise MdnnError(
                "data: expected a list of Example (mdnn.open_dataset), received "
                f"{type(data).__name__}"
            )
        return data

    @staticmethod
    def absolute_source(source):
        return source if source == DIGITS else Task.absolute_source(source)

    @functools.cached_property
    def words(self):
        size = self.config.tokens.words
        if self._words is not None or not size:
            return tuple(self._words or ())
        items = (
            load_item(entry) for line in self.splits.train for part in line.parts for entry in part
        )
        text = "\n".join(item.value for item in items if isinstance(item.value, str))
        return tuple(word_table(text, size))

    @functools.cached_property
    def tokenizer(self):
        """The `mdnn.tokens.item_tokenizer.ItemTokenizer`."""
        tokens = self.config.tokens
        return ItemTokenizer(self.words, tokens.sample_rate, tokens.spectrum)

    @functools.cached_property
    def batches(self):
        config = self.config
        return ItemBatches(
            self.splits.train,
            self.tokenizer,
            config.context,
            config.train.batch_size,
            config.seed,
            config.train.objectives,
            order=config.data.order,
            truncate=config.data.truncate,
            prompt_weight=config.loss.prompt,
            hide=config.tokens.answer_coordinates,
            augment=config.data.augment,
        )

    def open(self):
        super().open()
        # Check before training that the validation examples fit the context.
        next(self._windows(self.validation, 1))
        return self

    def _windows(self, lines, most):
        data = self.config.data
        return item_windows(
            lines,
            self.tokenizer,
            self.config.context,
            batch_size=1,
            order=data.order,
            truncate=data.truncate,
            most=most,
        )

    def _sample_windows(self):
        most = START_POSITIONS // self.config.context.positions
        return self._windows(self.splits.train, min(MOST_CONTEXTS, max(LEAST_CONTEXTS, most)))

    def head_tokens(self):
        return np.concatenate(
            [window["targets"][window["counted"]] for window in self._sample_windows()]
        )

    @functools.cached_property
    def units_per_step(self):
        context, filled, number = self.config.context, 0, 0
        for window in self._sample_windows():
            tokens = window["tokens"].reshape(-1, context.positions, 8)
            counts = (tokens[..., MODALITY] > 0).sum(axis=1)
            filled, number = filled + counts.sum(), number + (counts > 0).sum()
        return float(self.config.train.batch_size * filled / number)

    def write_about(self, path):
        write_item_statistics(path, item_statistics(self.splits.train, self.tokenizer))

    # === Figures ===

    def evaluator(self, networks):
        return ItemEvaluator(networks, self.config, self.tokenizer)

    def format_metrics(self, metrics):
        row = "{:<8} {:<12} {:>10} {:>10} {:>12} {:>9} {:>12}".format
        lines = [
            row("mode", "answer", "nats/token", "bits/token", "nats/answer", "answers", "tokens")
        ]
        for mode, own in metrics["modes"].items():
            for kind, one in (*own["kinds"].items(), ("all", own)):
                means = (f"{one[key]:.4f}" for key in ("loss", "bits_per_token", "loss_per_item"))
                lines.append(row(mode, kind, *means, f"{one['items']:,}", f"{one['tokens']:,}"))
        if "mean_steps" in metrics:
            lines.append(f"{metrics['mean_steps']:.3g} refeed steps per position on average")
        return lines

    def measured_writer(self, run, data):
        mode = next(iter(self.mode_shares))

        def write():
            drawn = sample_draws(data, MEASURED_PROMPTS, self.config.seed, self.config.data.order)
            answers = sample_answers(run, drawn, mode)
            return sum(self.tokenizer.count(item) for item in answers if item is not None)

        return write

    # === Generation ===

    def generate(self, run, prompt, options, stream=None, progress=None):
        return generate_items(run, prompt, options, stream)

    def read_prompt(self, run, values, convert=False):
        return [
            read_prompt_file(run, as_path(value, option), convert) if option == "--item" else value
            for option, value in values
        ]

    def answer_kinds(self, options):
        specs = parse_output(options.output, self.config.tokens.modalities)
        return None if specs is None else [spec.kind for spec in specs]

    def answer_items(self, answer, options):
        kinds = self.answer_kinds(options)
        if kinds is None:
            return answer
        values = [answer] if isinstance(options.output, str) else answer
        return [Item(kind, value) for kind, value in zip(kinds, values, strict=True)]

    def sample(self, run, step, title, say):
        """Draws sample answers into a PNG file in `samples/` and reports its path.

        Args:
            run, step, title, say: see `mdnn.tasks.base.Task.sample`.
        """
        file = run.path / "samples" / f"step-{step:07d}.png"
        file.parent.mkdir(exist_ok=True)
        sample_sheet(run, self.validation, self.mode_shares, file, title)
        say(f"{title}: {file}")


def item_statistics(lines, tokenizer):
    """Returns statistics of the items in examples; see `mdnn.runs.run_folder.Run.item_statistics`.

    Args:
        lines: sequence of `mdnn.datasets.items.item_splits.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.

    Returns:
        dict of `longest`, a dict from kinds to the largest number of tokens, and `shapes`, a dict
        from kinds of pictures and videos to lists of shapes, most frequent first.
    """
    longest, shapes = {}, {}
    for item in (load_item(entry) for line in lines for part in line.parts for entry in part):
        longest[item.kind] = max(longest.get(item.kind, 0), tokenizer.count(item))
        if not modality(item.kind).flat:
            shape = modality(item.kind).token_shape(item.value, tokenizer)
            shapes.setdefault(item.kind, collections.Counter())[shape] += 1
    return {
        "longest": longest,
        "shapes": {
            kind: [list(shape) for shape, _ in counts.most_common(LISTED_SHAPES)]
            for kind, counts in shapes.items()
        },
    }
