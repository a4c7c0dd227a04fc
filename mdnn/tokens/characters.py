"""Tokenizes text: one token per Unicode code point, or per word of a table."""

import collections
import itertools
import re

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table
from mdnn.tokens.modalities import modality

CODE_POINTS = 0x110000
"""Number of Unicode code points (1,114,112). A word's token id is this plus its table index."""

# Characters that are tokenized at a time, to bound memory.
_PIECE = 1 << 18

MAX_WORDS = 65536
"""Largest number of words in a table: the index has two bytes."""

TEXT = modality("text").index
WORD = modality("word").index

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
        text: String.
        size: Integer, the maximum number of words, 0 to 65,536.

    Returns:
        A tuple of at most `size` strings, the most frequent first.

    Raises:
        MdnnError: If `size` is out of range.

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
    """Returns the code points of a string, uint32 `[characters]`, including lone surrogates."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class TextTokenizer:
    """Converts text to token ids, token ids to tokens, and both back without loss.

    A token id (`units` in the method names) is an int32: a code point (0 to 1,114,111), 1,114,112
    plus the index of a word, or -1 for padding. With `words`, the text is split into maximal runs
    of letters and single other characters; a run in the table becomes one token, any other run one
    token per character.

    Args:
        words: Tuple of distinct words of letters (`str.isalpha`), at most 65,536. Empty (the
            default): one token per character.

    Raises:
        MdnnError: If a word is empty, repeated or has characters other than letters, or if there
            are too many words.

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
            repeated = next(w for w, n in collections.Counter(words).items() if n > 1)
            raise MdnnError(f"word table: expected distinct words; received {repeated!r} twice")
        self._letters = _code_points("".join(words)).astype(np.int32)
        self._word_lengths = np.array([len(word) for word in words], dtype=np.int64)
        self._word_starts = np.cumsum(self._word_lengths) - self._word_lengths

    @property
    def size(self):
        """Vocabulary size: number of code points plus number of words."""
        return CODE_POINTS + len(self.words)

    def units(self, text):
        """Encodes a text as token ids.

        Args:
            text: String; lone surrogates are allowed.

        Returns:
            int32 `[tokens]`.
        """
        if len(text) <= 2 * _PIECE:
            return self._piece_units(text)
        # Encode in pieces: intermediate arrays are many times larger than the text. A piece ends
        # after a non-letter, so that no word is split.
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
        """Encodes one piece of a text as token ids, int32 `[tokens]`."""
        points = _code_points(text).astype(np.int32)
        if not self.words:
            return points
        matches = [
            (start, start + len(run), self._numbers[run])
            for start, run in letter_runs(text)
            if run in self._numbers
        ]
        if not matches:
            return points
        starts, ends, numbers = np.array(matches, dtype=np.int64).T
        points[starts] = numbers
        # Drop the letters of a word after its first: +1 after the first letter, -1 after the last.
        inside = np.zeros(len(points) + 1, dtype=np.int8)
        inside[starts + 1] += 1
        inside[ends] -= 1
        return points[np.cumsum(inside[:-1], dtype=np.int8) == 0]

    def text(self, units):
        """Decodes token ids to text and skips padding (-1).

        Args:
            units: Integers of any shape, token ids in row-major order.

        Returns:
            String.

        Raises:
            MdnnError: If a token id is out of range.
        """
        units = np.asarray(units).reshape(-1)
        units = units[units != -1].astype(np.int64)
        self._check(units)
        is_word = units >= CODE_POINTS
        if is_word.any():
            lengths = self.lengths(units).astype(np.int64)
            # Index of each character in `_letters`: first letter of its word plus an offset.
            first = np.zeros(len(units), dtype=np.int64)
            first[is_word] = self._word_starts[units[is_word] - CODE_POINTS]
            offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            spelled = np.repeat(is_word, lengths)
            letters = self._letters[(np.repeat(first, lengths) + offset)[spelled]]
            units = np.repeat(units, lengths)
            units[spelled] = letters
        return units.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def tokens(self, units, item=0, first_place=0):
        """Converts token ids to tokens.

        Args:
            units: Integers `[..., T]`, token ids; -1 gives a token of zeros (padding).
            item: Integer, or integers that broadcast against `units`: the column `item`.
            first_place: Integer, or integers `[...]`: the coordinate of the first token.
                Coordinates increase by one along the last axis.

        Returns:
            int32 `[..., T, 8]`, the columns named in `mdnn.tokens.features.COLUMNS`.

        Raises:
            MdnnError: If `units` is a scalar or a token id is out of range.
        """
        units = np.asarray(units)
        if units.shape[-1:] == ():
            raise MdnnError(f"expected token ids [..., T]; received the scalar {units}")
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
        """Converts tokens to token ids; padding gives -1.

        Args:
            tokens: Integers `[..., 8]`; only the modality and the bytes are read.

        Returns:
            int32 `[...]`.

        Raises:
            MdnnError: If a token is neither text, word nor padding, or its id is out of range.
        """
        tokens = np.asarray(tokens)
        if tokens.shape[-1:] != (table.WIDTH,):
            raise MdnnError(f"expected tokens [..., {table.WIDTH}]; received {tokens.shape}")
        kind, high, middle, low = (tokens[..., column].astype(np.int32) for column in range(4))
        # -1 marks padding; the default -2 marks tokens that are not text.
        units = np.select(
            [kind == 0, kind == TEXT, kind == WORD],
            [-1, (high << 16) + (middle << 8) + low, CODE_POINTS + (high << 8) + middle],
            -2,
        ).astype(np.int32)
        if (units == -2).any():
            modality = kind[units == -2].flat[0]
            raise MdnnError(f"expected tokens of text; received modality {modality}")
        self._check(units, lowest=-1)
        return units

    def lengths(self, units):
        """Returns the number of characters of each token: 1, a word's length, or 0 for padding.

        Args:
            units: Integers of any shape, token ids.

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
        """Returns the code points of each word, for embeddings that sum a word's letters.

        Args:
            max_letters: Integer, columns of the result; longer words are truncated.

        Returns:
            int32 `[words, max_letters]`, -1 after a word's end.
        """
        if max_letters < 1:
            raise MdnnError(f"max_letters must be at least 1; received {max_letters}")
        letters = np.full((len(self.words), max_letters), -1, dtype=np.int32)
        filled = np.arange(max_letters) < self._word_lengths[:, None]
        source = self._word_starts[:, None] + np.arange(max_letters)
        letters[filled] = self._letters[source[filled]]
        return letters

    def _check(self, units, lowest=0):
        """Refuses token ids outside `lowest` to `size - 1`."""
        if units.size and (units.min() < lowest or units.max() >= self.size):
            wrong = units[(units < lowest) | (units >= self.size)].flat[0]
            raise MdnnError(
                f"expected token ids from {lowest} to {self.size - 1} "
                f"({len(self.words)} words); received {wrong}"
            )
