"""What the loop needs to know of items: batches, the heads' start, figures, samples."""

import collections

import numpy as np

from mdnn.data.item_batches import ItemBatches, item_windows
from mdnn.data.line import load
from mdnn.models.run import write_seen
from mdnn.tokens.codec import ItemCodec
from mdnn.tokens.text import word_table
from mdnn.tokens.units import MODALITY
from mdnn.training.item_samples import sample_sheet
from mdnn.training.item_scores import ItemScorer, check_validation, open_config_lines

# Slots that a check on the way looks at, and the fewest and most contexts that this makes.
CHECK_SLOTS, CHECK_LEAST, CHECK_MOST = 131_072, 64, 256
# Slots of the contexts from which the heads start and the units of a step are estimated, and
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
        batches: `mdnn.data.item_batches.ItemBatches` of the training lines.
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
        self.codec = ItemCodec(self.words, config.tokens.rate)
        self.batches = ItemBatches(
            self.train,
            self.codec,
            config.context,
            config.train.batch,
            config.seed,
            config.train.objectives,
            order=config.data.order,
            cut=config.data.cut,
            prompt_weight=config.loss.prompt,
            hide=config.tokens.answer_places,
            vary=config.data.vary,
        )
        # Validation has to fit, too: said before anything is trained.
        next(self._windows(self.validation, 1))
        contexts = config.train.batch
        filled, number = 0, 0
        for window in self._start():
            rows = window["tokens"].reshape(-1, config.context.slots, 8)
            units = (rows[..., MODALITY] > 0).sum(axis=1)
            filled, number = filled + units.sum(), number + (units > 0).sum()
        self.per_step = float(contexts * filled / number)

    def _windows(self, lines, most):
        config = self.config
        return item_windows(
            lines,
            self.codec,
            config.context,
            batch=1,
            order=config.data.order,
            cut=config.data.cut,
            most=most,
        )

    def _start(self):
        most = START_SLOTS // self.config.context.slots
        return self._windows(self.train, min(START_MOST, max(START_LEAST, most)))

    def rows(self):
        """Token rows from whose frequencies the heads start, int32 `[n, 8]`."""
        return np.concatenate([window["targets"][window["counted"]] for window in self._start()])

    def write_about(self, path):
        """Writes into a run folder which items are trained on; see `mdnn.models.run.Run.seen`."""
        write_seen(path, seen(self.train, self.codec))

    def scorer(self, networks):
        """The `ItemScorer` of networks as `mdnn.training.ways.wired` gives them."""
        return ItemScorer(networks, self.config, self.codec)

    def check(self, scorer):
        """Nats per unit of each way on validation contexts from all over, a dict."""
        most = CHECK_SLOTS // self.config.context.slots
        return scorer.check(self.validation, min(CHECK_MOST, max(CHECK_LEAST, most)))

    def figures(self, scorer):
        """What `evaluate` says of the validation lines."""
        return scorer.figures(self.validation)

    def sample(self, run, step, title, say):
        """Draws some answers into samples/, and says where."""
        file = run.path / "samples" / f"step-{step:07d}.png"
        file.parent.mkdir(exist_ok=True)
        sample_sheet(run, self.validation, file, title)
        say(f"{title}: {file}")


def seen(lines, codec):
    """What items lines hold, as `mdnn.models.run.Run.seen` tells it.

    Args:
        lines: list of `mdnn.data.lines.Line`.
        codec: `mdnn.tokens.codec.ItemCodec`.
    """
    longest, shapes = {}, {}
    entries = {id(entry): entry for line in lines for part in line.parts for entry in part}
    for item in map(load, entries.values()):
        longest[item.kind] = max(longest.get(item.kind, 0), codec.count(item))
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
