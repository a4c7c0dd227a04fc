"""Finds the words of a text and the most frequent ones."""

import collections
import itertools
import re

from mdnn.errors import MdnnError

MAX_WORDS = 65536
"""Largest number of words in a table: the index has two bytes."""

# Word characters that are neither decimal digits nor "_". This includes numerals such as "²" or
# "Ⅷ", which `letter_runs` removes.
_NEARLY_LETTERS = re.compile(r"[^\W\d_]+")


def letter_runs(text):
    """Yields `(start, run)` for every maximal run of letters (`str.isalpha`) in a text."""
    for match in _NEARLY_LETTERS.finditer(text):
        run, start = match.group(), match.start()
        if run.isalpha():
            yield start, run
            continue
        for is_letters, characters in itertools.groupby(run, str.isalpha):
            piece = "".join(characters)
            if is_letters:
                yield start, piece
            start += len(piece)


def word_table(text, size):
    """Returns the most frequent words of a text.

    A word is a maximal run of at least two letters. Equally frequent words are sorted by their
    code points, so the table is the same on every machine.

    Args:
        text: str.
        size: int, the maximum number of words, 0 to 65,536.

    Returns:
        A tuple of at most `size` strings, the most frequent first.

    Raises:
        MdnnError: `size` is out of range.

    Example:

    >>> word_table("the cat and the dog", 2)
    ('the', 'and')
    """
    if not 0 <= size <= MAX_WORDS:
        raise MdnnError(f"a word table has 0 to {MAX_WORDS} words; received {size}")
    counts = collections.Counter(run for _, run in letter_runs(text) if len(run) > 1)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(word for word, _ in ranked[:size])
