"""A text made ready for training: read, split and turned into token ids."""

from dataclasses import dataclass

import numpy as np

from mdnn.datasets.text.mapped_text import mapped_text
from mdnn.datasets.text.subword_dropout import dropped_tokenizers
from mdnn.datasets.text.text_sources import read_text, split
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.text_tokenizers import learnt_tokenizer


@dataclass(frozen=True, eq=False)
class TextSplits:
    """A source's text in two parts, as token ids.

    Args:
        source: str, what `open_text` was asked for.
        tokenizer: the `TextTokenizer` that made the token ids.
        train: int32 `[tokens]`, the part to train on.
        validation: int32 `[tokens]`, the part to validate on.
        characters: int, characters of both parts together.
        mixed: tuple of pairs `(ids, share)`: the training parts of further texts and further
            encodings of this one, int32, and the share of the training windows that is drawn from
            each.
    """

    source: str
    tokenizer: TextTokenizer
    train: np.ndarray
    validation: np.ndarray
    characters: int
    mixed: tuple = ()

    def contents(self):
        """Yields what was read, for `mdnn.datasets.fingerprint.fingerprint`."""
        yield self.train
        yield self.validation
        for ids, _ in self.mixed:
            yield ids


def open_text(
    source,
    validation=0.1,
    tokenizer=None,
    words=0,
    at_least=2,
    encoding="utf-8",
    mix=(),
    subwords=0,
    subword_kind="bytes",
    memory_map=False,
    subword_dropout=0.0,
    seed=0,
):
    """Reads a source, splits it by characters and turns both parts into token ids.

    Words are counted in the training part alone, and the cut is the same whatever the tokenizer,
    so figures per character can be compared.

    Args:
        source: str, as `mdnn.datasets.text.text_sources.read_text` takes it.
        validation: float, the share at the end that validates.
        tokenizer: a `TextTokenizer`, such as a trained network's own; `None` makes one.
        words: int, words of the new tokenizer's table; without effect if `tokenizer` is given.
        at_least: int, tokens that either part needs at least.
        encoding: str, the encoding of text files.
        mix: sequence of pairs `(source, share)`: further texts to train on, cut as the first one,
            and the share of the training windows to draw from each.
        subwords: int, most subwords of the new tokenizer's vocabulary, learned from the training
            part; 0 for a tokenizer of characters.
        memory_map: bool, whether to read a file piece by piece into a memory map, for files
            larger than memory; without words, subwords and further texts.
        subword_kind: str, see `mdnn.tokens.subwords.subword_training.train_subwords`.
        subword_dropout: float, share of the merges that further encodings of the training part
            leave out (`mdnn.datasets.text.subword_dropout`); 0 for none of them. All encodings
            take equal shares of the windows.
        seed: int, which merges those are.

    Returns:
        A `TextSplits`.

    Raises:
        MdnnError: the source cannot be read or a part is too short.

    Example:

    >>> splits = open_text("python-docs")
    >>> batches = TextBatches(splits.train, splits.tokenizer, length=64, batch_size=12, seed=0)
    """
    name = repr(str(source))
    if memory_map:
        return _mapped(source, validation, at_least, encoding, name)
    text = read_text(source, encoding)
    parts = split(text, validation, at_least, name)
    if tokenizer is None:
        tokenizer = learnt_tokenizer(parts[0], words, subwords, subword_kind)
    ids = [tokenizer.ids(part) for part in parts]
    # a word table shortens the parts: what counts is how many tokens are left
    for part, kind in zip(ids, ("train", "validate"), strict=True):
        if len(part) < at_least:
            raise MdnnError(
                f"{name} is too short: {len(part)} tokens to {kind}, needed at least {at_least}"
            )
    mixed = []
    for other, share in mix:
        train, _ = split(read_text(other, encoding), validation, 1, repr(str(other)))
        mixed.append((tokenizer.ids(train), share))
        if len(mixed[-1][0]) < at_least:
            raise MdnnError(
                f"{str(other)!r} is too short: {len(mixed[-1][0])} tokens to train, needed at "
                f"least {at_least}"
            )
    if subword_dropout:
        others = list(dropped_tokenizers(tokenizer, subword_dropout, seed))
        share = (1 - sum(share for _, share in mixed)) / (1 + len(others))
        mixed += [(other.ids(parts[0]), share) for other in others]
    return TextSplits(str(source), tokenizer, *ids, characters=len(text), mixed=tuple(mixed))


def _mapped(source, validation, at_least, encoding, name):
    """Returns the `TextSplits` of a file in a memory map."""
    path = as_path(source, "source")
    if not path.is_file():
        raise MdnnError(f"data.memory_map: expected a text file, received {name}")
    ids = mapped_text(path, encoding)
    train, held_out = split(ids, validation, at_least, name)
    return TextSplits(str(source), TextTokenizer(), train, held_out, characters=len(ids))
