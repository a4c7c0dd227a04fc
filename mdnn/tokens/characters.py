"""Text as units: one Unicode code point each, or one whole word from a table."""

import collections
import itertools
import re

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table

CODE_POINTS = 0x110000
"""Number of Unicode code points (1,114,112); a word's unit number is this plus its place."""

# Characters of a long text that are turned into units together.
_PIECE = 1 << 18

MAX_WORDS = 65536
"""Words that a table can hold: their number is two bytes."""

TEXT = table.modality("text").index
WORD = table.modality("word").index

# Word characters that are neither decimal digits nor "_": letters, but also numerals such as
# "²" or "Ⅷ", which `letter_runs` takes out again.
_NEARLY_LETTERS = re.compile(r"[^\W\d_]+")


def letter_runs(text):
    """Yields `(start, run)` for every maximal run of letters (`str.isalpha`) in a text."""
    for match in _NEARLY_LETTERS.finditer(text):
        run, start = match.group(), match.start()
        if run.isalpha():
            yield start, run
            continue
        for is_letters, part in itertools.groupby(run, str.isalpha):
            part = "".join(part)
            if is_letters:
                yield start, part
            start += len(part)


def word_table(text, size):
    """Returns the most frequent words of a text.

    A word is a maximal run of at least two letters. Words that are equally frequent come in
    the order of their code points, so the table is the same on every machine.

    Args:
        text: String.
        size: Integer, the most words to return, at most 65,536.

    Returns:
        A tuple of strings, the most frequent first; shorter than `size` if the text has fewer.

    Raises:
        MdnnError: If `size` is negative or larger than a table can be.

    Example:

    >>> word_table("the cat and the dog", 2)
    ('the', 'and')
    """
    if not 0 <= size <= MAX_WORDS:
        raise MdnnError(f"a word table has 0 to {MAX_WORDS} words; received {size}")
    counts = collections.Counter(run for _, run in letter_runs(text) if len(run) > 1)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(word for word, _ in ranked[:size])


def _code_points(text):
    """Returns the code points of a string, uint32 [characters]; lone surrogates are kept."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class TextTokenizer:
    """Turns text into units, units into token rows, and both back, exactly.

    A unit is an int32: a code point (0 to 1,114,111), or 1,114,112 plus the number of a word,
    or -1 for padding. With `words`, the text is split into maximal runs of letters and single
    other characters; a run that is in the table becomes one unit, any other is spelled out.

    Args:
        words: Tuple of different words, letters only (`str.isalpha`), at most 65,536. Empty
            (the default) makes every character its own unit.

    Raises:
        MdnnError: If a word is empty, repeated or holds anything but letters, or if there are
            too many.

    Example:

    >>> tokenizer = TextTokenizer(words=("the", "cat"))
    >>> tokenizer.units("the cats")
    array([1114112,      32,      99,      97,     116,     115], dtype=int32)
    >>> tokenizer.text(tokenizer.units("the cats"))
    'the cats'
    """

    def __init__(self, words=()):
        words = tuple(words)
        if len(words) > MAX_WORDS:
            raise MdnnError(f"a word table has at most {MAX_WORDS} words; received {len(words)}")
        for word in words:
            if not isinstance(word, str) or not word.isalpha():
                raise MdnnError(f"a word must be a string of letters; received {word!r}")
        self.words = words
        self._numbers = {word: CODE_POINTS + number for number, word in enumerate(words)}
        if len(self._numbers) < len(words):
            twice = next(w for w, n in collections.Counter(words).items() if n > 1)
            raise MdnnError(f"the word {twice!r} is in the table more than once")
        self._letters = _code_points("".join(words)).astype(np.int32)
        self._word_lengths = np.array([len(word) for word in words], dtype=np.int64)
        self._word_starts = np.cumsum(self._word_lengths) - self._word_lengths

    @property
    def size(self):
        """Number of different units: the code points and the words."""
        return CODE_POINTS + len(self.words)

    def units(self, text):
        """Returns the units of a text.

        Args:
            text: String; anything that Python can hold, lone surrogates too.

        Returns:
            int32 `[units]`.
        """
        if len(text) <= 2 * _PIECE:
            return self._piece_units(text)
        # In pieces, whose intermediate results take many times their memory. A piece ends behind
        # a character that is in no word.
        units, start, end = np.empty(len(text), dtype=np.int32), 0, 0
        while start < len(text):
            stop = start + _PIECE
            while self.words and stop < len(text) and text[stop - 1].isalpha():
                stop += 1
            piece = self._piece_units(text[start:stop])
            units[end : end + len(piece)] = piece
            start, end = stop, end + len(piece)
        return units if end == len(units) else units[:end].copy()

    def _piece_units(self, text):
        """Returns the units of a text as `units` does."""
        points = _code_points(text).astype(np.int32)
        if not self.words:
            return points
        known = [
            (start, start + len(run), self._numbers[run])
            for start, run in letter_runs(text)
            if run in self._numbers
        ]
        if not known:
            return points
        starts, ends, numbers = np.array(known, dtype=np.int64).T
        points[starts] = numbers
        # a word's later letters are dropped: +1 behind its first letter, -1 behind its last
        inside = np.zeros(len(points) + 1, dtype=np.int8)
        inside[starts + 1] += 1
        inside[ends] -= 1
        return points[np.cumsum(inside[:-1], dtype=np.int8) == 0]

    def text(self, units):
        """Returns the text of units; padding (-1) is left out.

        Args:
            units: Integers of any shape, read in row-major order.

        Returns:
            String.

        Raises:
            MdnnError: If a number is no unit of this tokenizer.
        """
        units = np.asarray(units).reshape(-1)
        units = units[units != -1].astype(np.int64)
        self._check(units)
        is_word = units >= CODE_POINTS
        if is_word.any():
            lengths = self.lengths(units).astype(np.int64)
            # where each character of the text lies: its unit's first letter plus its distance
            first = np.zeros(len(units), dtype=np.int64)
            first[is_word] = self._word_starts[units[is_word] - CODE_POINTS]
            distance = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            spelled = np.repeat(is_word, lengths)
            letters = self._letters[(np.repeat(first, lengths) + distance)[spelled]]
            units = np.repeat(units, lengths)
            units[spelled] = letters
        return units.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def tokens(self, units, item=0, first_place=0):
        """Returns the token rows of units.

        Args:
            units: Integers `[..., T]`; -1 gives a row of zeros, padding.
            item: Integer, or integers that broadcast against `units`: the column `item`.
            first_place: Integer, or integers `[...]`: the place of each row's first unit in
                its item. Places count up by one along the last axis.

        Returns:
            int32 `[..., T, 8]`, the columns named in `mdnn.tokens.features.COLUMNS`.
        """
        units = np.asarray(units)
        if units.shape[-1:] == ():
            raise MdnnError(f"units need an axis of their own; received the number {units}")
        self._check(units, lowest=-1)
        place = np.arange(units.shape[-1], dtype=np.int32) + np.asarray(first_place)[..., None]
        rows = np.zeros((*units.shape, table.WIDTH), dtype=np.int32)
        rows[..., 0] = TEXT
        rows[..., 1] = units >> 16
        rows[..., 2] = (units >> 8) & 255
        rows[..., 3] = units & 255
        rows[..., 4] = place
        rows[..., table.ITEM] = item
        if self.words:
            is_word = units >= CODE_POINTS
            number = (units - CODE_POINTS)[is_word]
            rows[is_word, 0] = WORD
            rows[is_word, 1] = number >> 8
            rows[is_word, 2] = number & 255
            rows[is_word, 3] = 0
        is_padding = units < 0
        if is_padding.any():
            rows[is_padding] = 0
        return rows

    def units_from_tokens(self, tokens):
        """Returns the units of token rows; padding gives -1.

        Args:
            tokens: Integers `[..., 8]`; only the modality and the bytes are read.

        Returns:
            int32 `[...]`.

        Raises:
            MdnnError: If a row is neither text, word nor padding, or is no unit of this tokenizer.
        """
        tokens = np.asarray(tokens)
        if tokens.shape[-1:] != (table.WIDTH,):
            raise MdnnError(f"expected token rows [..., {table.WIDTH}]; received {tokens.shape}")
        kind, high, middle, low = (tokens[..., column].astype(np.int32) for column in range(4))
        # in this order, so that -1 marks padding and -2 whatever is not text
        units = np.select(
            [kind == 0, kind == TEXT, kind == WORD],
            [-1, (high << 16) + (middle << 8) + low, CODE_POINTS + (high << 8) + middle],
            -2,
        ).astype(np.int32)
        if (units == -2).any():
            strange = kind[units == -2].flat[0]
            raise MdnnError(f"expected tokens of text; received modality {strange}")
        self._check(units, lowest=-1)
        return units

    def lengths(self, units):
        """Returns how many characters each unit stands for: 1, a word's length, 0 for padding.

        Args:
            units: Integers of any shape.

        Returns:
            int32 of the same shape.
        """
        units = np.asarray(units)
        self._check(units, lowest=-1)
        lengths = (units >= 0).astype(np.int32)
        if self.words:
            is_word = units >= CODE_POINTS
            lengths[is_word] = self._word_lengths[units[is_word] - CODE_POINTS]
        return lengths

    def letters(self, max_letters):
        """Returns the code points of each word, for embeddings that add a word's letters.

        Args:
            max_letters: Integer, columns of the result; a longer word is cut.

        Returns:
            int32 `[words, max_letters]`, -1 beyond a word's end.
        """
        if max_letters < 1:
            raise MdnnError(f"max_letters must be at least 1; received {max_letters}")
        letters = np.full((len(self.words), max_letters), -1, dtype=np.int32)
        kept = np.arange(max_letters) < self._word_lengths[:, None]
        source = self._word_starts[:, None] + np.arange(max_letters)
        letters[kept] = self._letters[source[kept]]
        return letters

    def _check(self, units, lowest=0):
        """Raises an error if a number is not between `lowest` and the tokenizer's last unit."""
        if units.size and (units.min() < lowest or units.max() >= self.size):
            wrong = units[(units < lowest) | (units >= self.size)].flat[0]
            raise MdnnError(
                f"expected units from {lowest} to {self.size - 1} "
                f"({len(self.words)} words); received {wrong}"
            )
