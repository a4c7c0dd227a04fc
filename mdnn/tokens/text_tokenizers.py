"""The tokenizer of the texts of a network."""

from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer
from mdnn.tokens.subwords.subword_training import train_subwords
from mdnn.tokens.word_table import word_table


def has_vocabulary(tokens):
    """Returns whether a network's tokenizer is learned from its text.

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


def learnt_tokenizer(text, words=0, subwords=0, subword_kind="bytes"):
    """Returns a new tokenizer whose vocabulary is learned from a text.

    Args:
        text: str.
        words: int, words of the table of a tokenizer of characters.
        subwords: int, most subwords; 0 for a tokenizer of characters.
        subword_kind: str, see `mdnn.tokens.subwords.subword_training.train_subwords`.
    """
    if subwords:
        return SubwordTokenizer(train_subwords(text, subwords, subword_kind), subwords)
    return TextTokenizer(word_table(text, words) if words else ())
