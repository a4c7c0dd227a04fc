"""Tokenizes text: one token per Unicode code point, or per word of a table."""

import collections

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table
from mdnn.tokens.modalities import modality
from mdnn.tokens.word_table import MAX_WORDS, letter_runs

CODE_POINTS = 0x110000
"""Number of Unicode code points (1,114,112). A word's token id is this plus its table index."""

# Characters that are tokenized at a time, to bound memory.
_PIECE = 1 << 18

TEXT = modality("text").index
WORD = modality("word").index


def _code_points(text):
    """Returns the code points of a string, uint32 `[characters]`, including lone surrogates."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class TextTokenizer:
    """Converts text to token ids, token ids to tokens, and both back without loss.

    A token id is an int32: a code point (0 to 1,114,111), 1,114,112
    plus the index of a word, or -1 for padding. With `words`, the text is split into maximal runs
    of letters and single other characters; a run in the table becomes one token, any other run one
    token per character.

    Args:
        words: tuple of distinct words of letters (`str.isalpha`), at most 65,536. Empty (the
            default): one token per character.

    Raises:
        MdnnError: a word is empty, repeated or has characters other than letters, or if there
            are too many words.

    Example:

    >>> tokenizer = TextTokenizer(words=("the", "cat"))
    >>> tokenizer.ids("the cats")
    array([1114112,      32,      99,      97,     116,     115], dtype=int32)
    >>> tokenizer.text(tokenizer.ids("the cats"))
    'the cats'
    """

    tokens_per_character = 1
    end_ids = frozenset()
    chat_template = ""

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
    def vocabulary(self):
        """The tokenizer's data in a run folder: the table of words."""
        return self.words

    def decoder(self):
        """Returns a function that decodes consecutive arrays of ids to the pieces of one text."""
        return self.text

    @property
    def size(self):
        """Vocabulary size: number of code points plus number of words."""
        return CODE_POINTS + len(self.words)

    def ids(self, text, begins=True):
        """Encodes a text as token ids.

        Args:
            text: str; lone surrogates are allowed.
            begins: Ignored: characters are the same at the beginning of a text and inside.

        Returns:
            int32 `[tokens]`.
        """
        if len(text) <= 2 * _PIECE:
            return self._piece_ids(text)
        # Encode in pieces: intermediate arrays are many times larger than the text. A piece ends
        # after a non-letter, so that no word is split.
        ids, start, end = np.empty(len(text), dtype=np.int32), 0, 0
        while start < len(text):
            stop = start + _PIECE
            while self.words and stop < len(text) and text[stop - 1].isalpha():
                stop += 1
            piece = self._piece_ids(text[start:stop])
            ids[end : end + len(piece)] = piece
            start, end = stop, end + len(piece)
        return ids if end == len(ids) else ids[:end].copy()

    def _piece_ids(self, text):
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

    def text(self, ids):
        """Decodes token ids to text and skips padding (-1).

        Args:
            ids: ints of any shape, token ids in row-major order.

        Returns:
            str.

        Raises:
            MdnnError: a token id is out of range.
        """
        ids = np.asarray(ids).reshape(-1)
        ids = ids[ids != -1].astype(np.int64)
        self._check(ids)
        is_word = ids >= CODE_POINTS
        if is_word.any():
            lengths = self.lengths(ids).astype(np.int64)
            # Index of each character in `_letters`: first letter of its word plus an offset.
            first = np.zeros(len(ids), dtype=np.int64)
            first[is_word] = self._word_starts[ids[is_word] - CODE_POINTS]
            offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            spelled = np.repeat(is_word, lengths)
            letters = self._letters[(np.repeat(first, lengths) + offset)[spelled]]
            ids = np.repeat(ids, lengths)
            ids[spelled] = letters
        return ids.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def tokens(self, ids, item=0, first_place=0):
        """Converts token ids to tokens.

        Args:
            ids: ints `[..., T]`, token ids; -1 gives a token of zeros (padding).
            item: int, or integers that broadcast against `ids`: the column `item`.
            first_place: int, or integers `[...]`: the coordinate of the first token.
                Coordinates increase by one along the last axis.

        Returns:
            int32 `[..., T, 8]`, the columns named in `mdnn.tokens.features.TOKEN_FEATURES`.

        Raises:
            MdnnError: `ids` is a scalar or a token id is out of range.
        """
        ids = np.asarray(ids)
        if ids.shape[-1:] == ():
            raise MdnnError(f"expected token ids [..., T]; received the scalar {ids}")
        self._check(ids, lowest=-1)
        coordinate = np.arange(ids.shape[-1], dtype=np.int32) + np.asarray(first_place)[..., None]
        rows = np.zeros((*ids.shape, table.NUM_FEATURES), dtype=np.int32)
        rows[..., 0] = TEXT
        rows[..., 1] = ids >> 16
        rows[..., 2] = (ids >> 8) & 255
        rows[..., 3] = ids & 255
        rows[..., 4] = coordinate
        rows[..., table.ITEM] = item
        if self.words:
            is_word = ids >= CODE_POINTS
            number = (ids - CODE_POINTS)[is_word]
            rows[is_word, 0] = WORD
            rows[is_word, 1] = number >> 8
            rows[is_word, 2] = number & 255
            rows[is_word, 3] = 0
        is_padding = ids < 0
        if is_padding.any():
            rows[is_padding] = 0
        return rows

    def ids_from_tokens(self, tokens):
        """Converts tokens to token ids; padding gives -1.

        Args:
            tokens: ints `[..., 8]`; only the modality and the bytes are read.

        Returns:
            int32 `[...]`.

        Raises:
            MdnnError: a token is neither text, word nor padding, or its id is out of range.
        """
        tokens = np.asarray(tokens)
        if tokens.shape[-1:] != (table.NUM_FEATURES,):
            raise MdnnError(f"expected tokens [..., {table.NUM_FEATURES}]; received {tokens.shape}")
        kind, high, middle, low = (tokens[..., column].astype(np.int32) for column in range(4))
        # -1 marks padding; the default -2 marks tokens that are not text.
        ids = np.select(
            [kind == 0, kind == TEXT, kind == WORD],
            [-1, (high << 16) + (middle << 8) + low, CODE_POINTS + (high << 8) + middle],
            -2,
        ).astype(np.int32)
        if (ids == -2).any():
            modality = kind[ids == -2].flat[0]
            raise MdnnError(f"expected tokens of text; received modality {modality}")
        self._check(ids, lowest=-1)
        return ids

    def lengths(self, ids):
        """Returns the number of characters of each token: 1, a word's length, or 0 for padding.

        Args:
            ids: ints of any shape, token ids.

        Returns:
            int32 of the same shape.
        """
        ids = np.asarray(ids)
        self._check(ids, lowest=-1)
        lengths = (ids >= 0).astype(np.int32)
        if self.words:
            is_word = ids >= CODE_POINTS
            lengths[is_word] = self._word_lengths[ids[is_word] - CODE_POINTS]
        return lengths

    def writable(self, ids):
        """Returns which integers are ids of tokens that texts of Unicode contain, bool."""
        ids = np.asarray(ids)
        surrogates = (ids >= 0xD800) & (ids < 0xE000)
        return (ids >= 0) & (ids < self.size) & ~surrogates

    def token_text(self, number):
        """Returns the text of a token by its id, and the bytes that it stands for."""
        text = self.text([number])
        return text, text.encode("utf-8", "surrogatepass")

    def letters(self, max_letters):
        """Returns the code points of each word, for embeddings that sum a word's letters.

        Args:
            max_letters: int, columns of the result; longer words are truncated.

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

    def _check(self, ids, lowest=0):
        """Refuses token ids outside `lowest` to `size - 1`."""
        if ids.size and (ids.min() < lowest or ids.max() >= self.size):
            wrong = ids[(ids < lowest) | (ids >= self.size)].flat[0]
            raise MdnnError(
                f"expected token ids from {lowest} to {self.size - 1} "
                f"({len(self.words)} words); received {wrong}"
            )
