"""What the loop needs to know of a text: batches, the heads' start, figures, samples."""

from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.datasets.text.text_splits import open_text
from mdnn.files import write_text
from mdnn.generation.text_decoding import write
from mdnn.tokens.characters import TextTokenizer
from mdnn.training.decoding_modes import decoding_mode_shares
from mdnn.training.evaluation import TextEvaluator
from mdnn.training.head_init import text_rows

# Units of the validation part that a check on the way looks at.
CHECK_UNITS = 8192


class StreamData:
    """A text to train on, layout `"stream"`.

    Args:
        config: `mdnn.Config`.
        words: the table of words; `None` to make it from the text, where the config has one.

    Attributes:
        batches: `mdnn.datasets.batches.text_batches.TextBatches` of the training part.
        words: tuple, the table of words.
        unit: what figures are per.
        per_unit: float, mean characters of a unit: a word is one unit of several characters.
        per_step: float, characters that a step reads.

    Raises:
        MdnnError: a source that cannot be read, a text too short for the context.
    """

    unit = "character"

    def __init__(self, config, words=None):
        self.config = config
        tokenizer = TextTokenizer(words) if words else None
        positions, data, batch = config.context.positions, config.data, config.train.batch_size
        self.corpus = open_text(
            data.source, data.validation, tokenizer, config.tokens.words, at_least=positions + 1
        )
        self.tokenizer = self.corpus.tokenizer
        self.words = tuple(self.tokenizer.words)
        self.batches = TextBatches(
            self.corpus.train,
            self.tokenizer,
            positions,
            batch,
            config.seed,
            padding=config.context.padding,
            # Without them batches have no weights.
            objectives=config.train.objectives if config.train.objectives.whole else None,
        )
        self.per_unit = float(self.tokenizer.lengths(self.corpus.train).mean())
        self.per_step = batch * positions * self.per_unit

    def rows(self):
        """Token rows from whose frequencies the heads start, int32 `[n, 8]`."""
        return text_rows(self.corpus.train, self.tokenizer)

    def write_about(self, path):
        """Writes into a run folder what is to be known of the data: nothing but the config."""

    def evaluator(self, networks):
        """The `TextEvaluator` of networks as `mdnn.training.decoding_modes.networks_by_mode` gives
        them."""
        return TextEvaluator(networks, self.config, self.tokenizer)

    def check(self, evaluator):
        """Nats per character of each way on pieces from all over the validation part, a dict."""
        return {
            name: found["loss"]
            for name, found in evaluator.ways(self.corpus.validation, most=CHECK_UNITS).items()
        }

    def figures(self, evaluator):
        """What `evaluate` says of the validation part, without the sliding figure."""
        return evaluator.figures(self.corpus.validation, sliding=False)

    def sample(self, run, step, title, say):
        """Writes some text into samples/ and shows it, where writing in turn is trained."""
        spec = self.config.train
        if "autoregressive" not in decoding_mode_shares(self.config):
            return
        text = spec.prompt + "".join(write(run.model, self.tokenizer, spec.prompt, spec.sample))
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
