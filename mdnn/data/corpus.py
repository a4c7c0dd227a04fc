"""A text made ready for training: read, split and turned into units."""

from dataclasses import dataclass

import numpy as np

from mdnn.data.sources import read_text, split
from mdnn.errors import MdnnError
from mdnn.tokens.text import TextCodec, word_table


@dataclass(frozen=True, eq=False)
class Corpus:
    """A source's text in two parts, as units.

    Args:
        source: String, what `open_data` was asked for.
        codec: The `TextCodec` that made the units.
        train: int32 `[units]`, the part to train on.
        validation: int32 `[units]`, the part to validate on.
        characters: Integer, characters of both parts together.
    """

    source: str
    codec: TextCodec
    train: np.ndarray
    validation: np.ndarray
    characters: int

    def contents(self):
        """Yields what was read, for `mdnn.datasets.fingerprint.fingerprint`."""
        yield self.train
        yield self.validation


def open_data(source, validation=0.1, codec=None, words=0, at_least=2, encoding="utf-8"):
    """Reads a source, splits it by characters and turns both parts into units.

    Words are counted in the training part alone, and the cut is the same whatever the codec,
    so figures per character can be compared.

    Args:
        source: String, as `mdnn.data.sources.read_text` takes it.
        validation: Float, the share at the end that validates.
        codec: A `TextCodec`, such as a trained network's own; `None` makes one.
        words: Integer, words of the new codec's table; without effect if `codec` is given.
        at_least: Integer, units that either part needs at least.
        encoding: String, the encoding of text files.

    Returns:
        A `Corpus`.

    Raises:
        MdnnError: If the source cannot be read or a part is too short.

    Example:

    >>> corpus = open_data("python-docs")
    >>> batches = Batches(corpus.train, corpus.codec, length=64, batch=12, seed=0)
    """
    text = read_text(source, encoding)
    name = repr(str(source))
    parts = split(text, validation, at_least, name)
    if codec is None:
        codec = TextCodec(word_table(parts[0], words) if words else ())
    units = [codec.units(part) for part in parts]
    # a word table shortens the parts: what counts is how many units are left
    for part, kind in zip(units, ("train", "validate"), strict=True):
        if len(part) < at_least:
            raise MdnnError(
                f"{name} is too short: {len(part)} units to {kind}, needed at least {at_least}"
            )
    return Corpus(str(source), codec, *units, characters=len(text))
