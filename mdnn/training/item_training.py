"""What the loop needs to know of items: batches, the heads' start, figures, samples."""

import collections

import numpy as np

from mdnn.datasets.batches.item_batches import ItemBatches, item_windows
from mdnn.datasets.items.example import load
from mdnn.runs.run_folder import write_item_statistics
from mdnn.tokens.characters import word_table
from mdnn.tokens.features import MODALITY
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.training.item_evaluator import ItemEvaluator, check_validation, open_config_lines
from mdnn.training.item_samples import sample_sheet

# Positions that a check on the way looks at, and the fewest and most contexts that this makes.
CHECK_SLOTS, CHECK_LEAST, CHECK_MOST = 131_072, 64, 256
# Positions of the contexts from which the heads start and the units of a step are estimated, and
# the fewest and most contexts that this makes.
START_SLOTS, START_LEAST, START_MOST = 2**22, 16, 512
# Shapes of each kind that a run folder holds.
SHAPES = 64


class ItemData:
    """Lines of items to train on, layout `"items"`.

    Args:
        config: `mdnn.Config`.
        words: the table of words; `None` to make it from the texts, where the config has one.

    Attributes:
        batches: `mdnn.datasets.batches.item_batches.ItemBatches` of the training lines.
        words: tuple, the table of words.
        unit: what figures are per.
        per_unit: 1.
        per_step: float, units that a step reads, on average.

    Raises:
        MdnnError: a source that cannot be read, nothing that validates, a line that does not
            fit the context.
    """

    unit, per_unit = "unit", 1.0

    def __init__(self, config, words=None):
        self.config = config
        corpus = open_config_lines(config)
        self.train = corpus.train
        self.validation = check_validation(corpus.validation, config)
        if words is None:
            words = _words(self.train, config.tokens.words) if config.tokens.words else ()
        self.words = tuple(words)
        self.tokenizer = ItemTokenizer(self.words, config.tokens.sample_rate)
        self.batches = ItemBatches(
            self.train,
            self.tokenizer,
            config.context,
            config.train.batch_size,
            config.seed,
            config.train.objectives,
            order=config.data.order,
            cut=config.data.truncate,
            prompt_weight=config.loss.prompt,
            hide=config.tokens.answer_coordinates,
            augment=config.data.augment,
        )
        # Validation has to fit, too: said before anything is trained.
        next(self._windows(self.validation, 1))
        contexts = config.train.batch_size
        filled, number = 0, 0
        for window in self._start():
            rows = window["tokens"].reshape(-1, config.context.positions, 8)
            units = (rows[..., MODALITY] > 0).sum(axis=1)
            filled, number = filled + units.sum(), number + (units > 0).sum()
        self.per_step = float(contexts * filled / number)

    def _windows(self, lines, most):
        config = self.config
        return item_windows(
            lines,
            self.tokenizer,
            config.context,
            batch=1,
            order=config.data.order,
            cut=config.data.truncate,
            most=most,
        )

    def _start(self):
        most = START_SLOTS // self.config.context.positions
        return self._windows(self.train, min(START_MOST, max(START_LEAST, most)))

    def rows(self):
        """Token rows from whose frequencies the heads start, int32 `[n, 8]`."""
        return np.concatenate([window["targets"][window["counted"]] for window in self._start()])

    def write_about(self, path):
        """Writes into a run folder which items are trained on; see
        `mdnn.runs.run_folder.Run.item_statistics`."""
        write_item_statistics(path, seen(self.train, self.tokenizer))

    def evaluator(self, networks):
        """The `ItemEvaluator` of networks as `mdnn.training.decoding_modes.networks_by_mode` gives
        them."""
        return ItemEvaluator(networks, self.config, self.tokenizer)

    def check(self, evaluator):
        """Nats per unit of each way on validation contexts from all over, a dict."""
        most = CHECK_SLOTS // self.config.context.positions
        return evaluator.check(self.validation, min(CHECK_MOST, max(CHECK_LEAST, most)))

    def figures(self, evaluator):
        """What `evaluate` says of the validation lines."""
        return evaluator.figures(self.validation)

    def sample(self, run, step, title, say):
        """Draws some answers into samples/, and says where."""
        file = run.path / "samples" / f"step-{step:07d}.png"
        file.parent.mkdir(exist_ok=True)
        sample_sheet(run, self.validation, file, title)
        say(f"{title}: {file}")


def seen(lines, tokenizer):
    """What items lines hold, as `mdnn.runs.run_folder.Run.item_statistics` tells it.

    Args:
        lines: list of `mdnn.datasets.items.item_splits.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
    """
    longest, shapes = {}, {}
    entries = {id(entry): entry for line in lines for part in line.parts for entry in part}
    for item in map(load, entries.values()):
        longest[item.kind] = max(longest.get(item.kind, 0), tokenizer.count(item))
        if item.kind not in ("text", "audio"):
            shape = item.value.shape[:-1] if item.kind in ("image", "video") else item.value.shape
            shapes.setdefault(item.kind, collections.Counter())[shape] += 1
    return {
        "longest": longest,
        "shapes": {
            kind: [list(shape) for shape, _ in counts.most_common(SHAPES)]
            for kind, counts in shapes.items()
        },
    }


def _words(lines, size):
    """The table of words of the texts in lines."""
    items = (load(entry) for line in lines for part in line.parts for entry in part)
    return word_table("\n".join(item.value for item in items if item.kind == "text"), size)
