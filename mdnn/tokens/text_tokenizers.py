"""The tokenizer of the texts of a network."""

from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer


def has_vocabulary(tokens):
    """Returns whether a network's tokenizer is learnt from its text.

    Args:
        tokens: the table `tokens` of its config.
    """
    return bool(tokens.words or tokens.subwords)


def text_tokenizer(tokens, vocabulary=()):
    """Returns the tokenizer of texts of a network.

    Args:
        tokens: the table `tokens` of its config.
        vocabulary: tuple of strings: the table of words, or the two texts of a
            `SubwordTokenizer`; empty for a vocabulary of characters.
    """
    if tokens.subwords:
        return SubwordTokenizer(vocabulary, tokens.subwords)
    return TextTokenizer(vocabulary)
