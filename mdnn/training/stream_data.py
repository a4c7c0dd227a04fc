"""What the loop needs to know of a text: batches, the heads' start, figures, samples."""

from mdnn.data.batches import Batches
from mdnn.data.corpus import open_data
from mdnn.files import write_text
from mdnn.generation.text_decoding import stream_text
from mdnn.tokens.text import TextCodec
from mdnn.training.evaluation import StreamScorer
from mdnn.training.start import text_rows
from mdnn.training.ways import trained_ways

# Units of the validation part that a check on the way looks at.
CHECK_UNITS = 8192


class StreamData:
    """A text to train on, layout `"stream"`.

    Args:
        config: `mdnn.Config`.
        words: the table of words; `None` to make it from the text, where the config has one.

    Attributes:
        batches: `mdnn.data.batches.Batches` of the training part.
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
        codec = TextCodec(words) if words else None
        slots, data, batch = config.context.slots, config.data, config.train.batch
        self.corpus = open_data(
            data.source, data.validation, codec, config.tokens.words, at_least=slots + 1
        )
        self.codec = self.corpus.codec
        self.words = tuple(self.codec.words)
        self.batches = Batches(
            self.corpus.train,
            self.codec,
            slots,
            batch,
            config.seed,
            padding=config.context.padding,
            # Without them batches have no weights.
            objectives=config.train.objectives if config.train.objectives.whole else None,
        )
        self.per_unit = float(self.codec.lengths(self.corpus.train).mean())
        self.per_step = batch * slots * self.per_unit

    def rows(self):
        """Token rows from whose frequencies the heads start, int32 `[n, 8]`."""
        return text_rows(self.corpus.train, self.codec)

    def write_about(self, path):
        """Writes into a run folder what is to be known of the data: nothing but the config."""

    def scorer(self, networks):
        """The `StreamScorer` of networks as `mdnn.training.ways.wired` gives them."""
        return StreamScorer(networks, self.config, self.codec)

    def check(self, scorer):
        """Nats per character of each way on pieces from all over the validation part, a dict."""
        return {
            name: found["nats"]
            for name, found in scorer.ways(self.corpus.validation, most=CHECK_UNITS).items()
        }

    def figures(self, scorer):
        """What `evaluate` says of the validation part, without the sliding figure."""
        return scorer.figures(self.corpus.validation, sliding=False)

    def sample(self, run, step, title, say):
        """Writes some text into samples/ and shows it, where writing in turn is trained."""
        spec = self.config.train
        if "turn" not in trained_ways(self.config):
            return
        text = spec.prompt + "".join(stream_text(run.model, self.codec, spec.prompt, spec.sample))
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        write_text(folder / f"step-{step:07d}.txt", text + "\n")
        say(f"{title}:\n{text}\n")
