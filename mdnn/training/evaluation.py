"""How well a network predicts a text."""

import math

import numpy as np

from mdnn.data.batches import windows
from mdnn.data.corpus import open_data
from mdnn.errors import MdnnError
from mdnn.models.compiling import without_xla
from mdnn.models.loss import nats_model
from mdnn.models.run import open_run
from mdnn.models.vocabulary import decoding


def evaluate(run, text=None, sliding=True, progress=None):
    """Nats per character of a text under a trained network.

    Two figures. `nats`: consecutive windows of the context's length, every position counted,
    the convention behind nanoGPT's figures. `nats_sliding`: windows that overlap by half, each
    counting its last half only, so that every character has at least half a context before it.

    Args:
        run: a run folder.
        text: the text; None for the run's own validation text.
        sliding: whether the second figure is computed, too.
        progress: function called with the part that is done, 0 to 1.

    Returns:
        dict: `nats`, `bits_per_character`, `characters` (how many were predicted: all but the
        text's first), and `nats_sliding`, `bits_per_character_sliding` and
        `characters_sliding` where asked for.

    Raises:
        MdnnError: no run folder, or a text of fewer than two units.
    """
    run = open_run(run)
    if text is None:
        data = run.config.data
        units = open_data(data.source, data.validation, run.codec).validation
    else:
        units = run.codec.units(text)
    if len(units) < 2:
        kind = "characters or words" if run.words else "characters"
        raise MdnnError(
            f"expected a text of at least two {kind} to evaluate, received {len(units)}"
        )
    scorer = Scorer(run.model, run.config)
    slots = run.config.context.slots
    # The sliding figure looks at every character about twice.
    share = 1 / 3 if sliding else 1.0
    tell = progress or (lambda part: None)
    nats, characters = scorer.total(units, run.codec, slots, lambda p: tell(p * share))
    result = figures(nats, characters)
    if sliding:
        stride = max(1, slots // 2)
        nats, characters = scorer.total(
            units, run.codec, stride, lambda p: tell(share + p * (1 - share))
        )
        for name, value in figures(nats, characters).items():
            result[f"{name}_sliding"] = value
    return result


def figures(nats, characters):
    """The figures of a total of nats over so many characters."""
    mean = nats / characters
    return {
        "nats": mean,
        "bits_per_character": mean / math.log(2),
        "characters": int(characters),
    }


class Scorer:
    """Sums of nats over texts, compiled once.

    Args:
        model: a network as `mdnn.build` makes it.
        config: its config.
        batch: windows in one call.
    """

    def __init__(self, model, config, batch=32):
        self.model = nats_model(model, **decoding(config))
        without_xla(self.model)
        self.slots = config.context.slots
        self.batch = batch

    def total(self, units, codec, stride, progress=None):
        """Nats in all and characters predicted over a text of units."""
        nats, characters, done = 0.0, 0, 0
        for window in windows(units, codec, self.slots, stride, self.batch):
            counted = window.pop("counted")
            found = np.asarray(self.model.predict_on_batch(window), dtype="float64")
            nats += float(found[counted].sum())
            predicted = codec.units_from_tokens(window["targets"][counted])
            characters += int(codec.lengths(predicted).sum())
            done += int(counted.sum())
            if progress is not None:
                progress(done / (len(units) - 1))
        return nats, characters
