"""Cuts one text into subwords in several ways, so that a network cannot learn it by heart."""

import json

from mdnn.datasets.random_bits import MERGES, raw_bits
from mdnn.errors import MdnnError
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer

ENCODINGS = 8
"""Encodings of a training text beside the tokenizer's own."""


def dropped_tokenizers(tokenizer, share, seed, count=ENCODINGS):
    """Yields tokenizers that each leave out another random share of the merges.

    A word is cut into the same pieces throughout one encoding, in which a merge is missing with
    the probability `share`; BPE dropout (arXiv 1910.13267) draws again at every occurrence. Token
    ids mean the same in all of them.

    Args:
        tokenizer: `SubwordTokenizer` of a vocabulary made by merges.
        share: float, 0 to 1.
        seed: int; the same seed leaves the same merges out.
        count: int, number of tokenizers.

    Raises:
        MdnnError: the vocabulary has no merges.
    """
    table = json.loads(tokenizer.vocabulary[0])
    merges = table["model"].get("merges")
    if not merges:
        raise MdnnError("tokens.subword_dropout: expected a vocabulary with merges, found none")
    for number in range(count):
        drawn = raw_bits(seed, number, len(merges), MERGES) / 2.0**64
        kept = [merge for merge, value in zip(merges, drawn, strict=True) if value >= share]
        model = table["model"] | {"merges": kept}
        vocabulary = (json.dumps(table | {"model": model}), tokenizer.vocabulary[1])
        yield SubwordTokenizer(vocabulary, tokenizer.size)
