"""Defines the modality of subwords: pieces of words from a tokenizer's vocabulary."""

from mdnn.errors import MdnnError
from mdnn.tokens.modalities.modality import Modality

LEAST_SUBWORDS = 256
"""Smallest vocabulary of subwords: every byte has a token."""


class SubwordModality(Modality):
    """Subwords: the three bytes of a token are its number in the vocabulary.

    The number is decided in one step, a softmax over `tokens.subwords` classes.
    """

    sized_by_vocabulary = True

    def check_config(self, tokens):
        names = tokens.modalities
        if (self.name in names) != bool(tokens.subwords):
            raise MdnnError(
                "tokens: the modality 'subword' and tokens.subwords above 0 require each other, "
                f"received {list(names)} and subwords = {tokens.subwords}"
            )
        if tokens.tied and not tokens.subwords:
            raise MdnnError("tokens.tied: expected tokens.subwords above 0, received 0")
        if not tokens.subwords:
            return
        if len(names) > 1:
            raise MdnnError(f"tokens.modalities: expected 'subword' alone, received {list(names)}")
        if tokens.subwords < LEAST_SUBWORDS:
            raise MdnnError(
                f"tokens.subwords: expected at least {LEAST_SUBWORDS}, the bytes, received "
                f"{tokens.subwords}"
            )
        if tokens.table != "bytes" or tokens.heads != "bytes":
            raise MdnnError(
                "tokens.table, tokens.heads: subwords have one table and one head; expected "
                f"'bytes', received {tokens.table!r} and {tokens.heads!r}"
            )
