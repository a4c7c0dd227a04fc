"""Tokenizes text into subwords, through the `tokenizers` package."""

import codecs
import functools
import json

import numpy as np

from mdnn.errors import MdnnError
from mdnn.strict_json import parse_json
from mdnn.tokens import features as table
from mdnn.tokens.modalities import modality
from mdnn.tokens.subwords.byte_strings import count_characters
from mdnn.tokens.subwords.tokenizer_json import read_tokenizer

SUBWORD = modality("subword").index

TOKENS_PER_CHARACTER = 4
"""Most tokens that a character takes: one for each of its bytes."""


def tokenizers_package():
    """Imports the package `tokenizers`.

    Raises:
        MdnnError: it is not installed; the error names the command that installs it.
    """
    try:
        import tokenizers
    except ImportError:
        raise MdnnError(
            "subwords need the package tokenizers: pip install 'mdnn[subwords]'"
        ) from None
    return tokenizers


class SubwordTokenizer:
    """Converts text to token ids of a subword vocabulary, to tokens, and back.

    It has the methods of `mdnn.tokens.characters.TextTokenizer`. A token id is the number of a
    token of the vocabulary, or -1 for padding. Byte-level BPE keeps every text; SentencePiece
    style reads U+2581 as a space, and may put a space before a text. Special tokens in a text are
    read as such, as chat templates need it; they stand for no characters.

    Args:
        vocabulary: tuple of two strings, as a run folder holds them: the texts of tokenizer.json
            and of tokenizer_config.json. Of the latter `eos_token`, `bos_token` and
            `chat_template` are read.
        size: int, number of classes of the network's head; `None` for the number of tokens.

    Attributes:
        words: an empty tuple.
        token_bytes: tuple of bytes, the content of each token.
        end_ids: frozenset of ints, tokens that end an answer.
        bos_token, eos_token: strings, maybe empty.
        chat_template: str, a Jinja template; empty if there is none.

    Raises:
        MdnnError: a damaged or unknown tokenizer, or one with more than `size` tokens.

    Example:

    >>> tokenizer = SubwordTokenizer(train_subwords(text, 1000))
    >>> tokenizer.text(tokenizer.ids("the cats"))
    'the cats'
    """

    words = ()
    tokens_per_character = TOKENS_PER_CHARACTER

    def __init__(self, vocabulary, size=None):
        if len(vocabulary) != 2:
            raise MdnnError(
                "a network of subwords needs its tokenizer: expected the texts of tokenizer.json "
                f"and tokenizer_config.json, received {len(vocabulary)} texts"
            )
        self.vocabulary = tuple(vocabulary)
        self._facts = read_tokenizer(vocabulary[0])
        self.token_bytes = self._facts.token_bytes
        self.size = len(self.token_bytes) if size is None else size
        if len(self.token_bytes) > self.size:
            raise MdnnError(
                f"tokenizer.json has {len(self.token_bytes):,} tokens, expected at most the "
                f"network's {self.size:,} (tokens.subwords)"
            )
        about = parse_json(vocabulary[1] or "{}", "tokenizer_config.json")
        about = about if isinstance(about, dict) else {}
        self.bos_token, self.eos_token = (
            _content(about.get(name)) for name in ("bos_token", "eos_token")
        )
        template = about.get("chat_template")
        self.chat_template = template if isinstance(template, str) else ""
        ends = [self.eos_token, *map(_content, about.get("end_tokens") or ())]
        special = self._facts.special
        self.end_ids = frozenset(special[token] for token in ends if token in special)
        counts = [count_characters(data) for data in self.token_bytes]
        self._lengths = np.zeros(self.size, "int32")
        self._lengths[: len(counts)] = counts

    @functools.cached_property
    def _encoder(self):
        """The tokenizer of the package, and the ids that it puts before each text."""
        package = tokenizers_package()
        try:
            encoder = package.Tokenizer.from_str(json.dumps(self._facts.table))
            plain = encoder.encode("a", add_special_tokens=False).ids
            whole = encoder.encode("a").ids
        except BaseException as error:
            # A panic of the package's Rust code is not an Exception.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise MdnnError(
                f"tokenizer.json cannot be used: {' '.join(str(error).split())[:200]}"
            ) from None
        # The package holds it now; as Python's dicts and lists it takes some 20 MB.
        self._facts.table.clear()
        starts = (k for k in range(len(whole)) if whole[k : k + len(plain)] == plain)
        return encoder, whole[: next(starts, 0)]

    def ids(self, text, begins=True):
        """Encodes a text as token ids, after those that the tokenizer puts before each text.

        Args:
            text: str of Unicode characters; unpaired surrogates become U+FFFD.
            begins: bool, whether a text begins here; otherwise nothing is put before it.

        Returns:
            int32 `[tokens]`.
        """
        encoder, before = self._encoder
        text = text.encode("utf-8", "replace").decode("utf-8")
        before = before if begins else ()
        return np.array([*before, *encoder.encode(text, add_special_tokens=False).ids], "int32")

    def end_marks(self, mark):
        """Returns the possible texts of each token that ends an answer, a dict of lists of str.

        Args:
            mark: str, an end mark of any text; the others are the tokens' own texts.
        """
        return {number: [mark, self._special_texts[number]] for number in sorted(self.end_ids)}

    @functools.cached_property
    def _special_texts(self):
        return {number: text for text, number in self._facts.special.items()}

    def decoder(self):
        """Returns a function that decodes consecutive arrays of ids to the pieces of one text.

        A character whose bytes are split between tokens comes with the last of them.
        """
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        return lambda ids: decode(self._bytes(ids))

    def text(self, ids):
        """Decodes token ids of any shape to text and skips padding; bytes that are not UTF-8 become
        U+FFFD.

        Raises:
            MdnnError: a token id is out of range.
        """
        return self._bytes(ids).decode("utf-8", "replace")

    def _bytes(self, ids):
        ids = np.asarray(ids).reshape(-1)
        ids = ids[ids != -1]
        self._check(ids)
        known = len(self.token_bytes)
        return b"".join(self.token_bytes[number] for number in ids.tolist() if number < known)

    def tokens(self, ids, item=0, first_place=0):
        """Converts token ids to tokens; see `mdnn.tokens.characters.TextTokenizer.tokens`."""
        ids = np.asarray(ids)
        self._check(ids, lowest=-1)
        coordinate = np.arange(ids.shape[-1], dtype=np.int32) + np.asarray(first_place)[..., None]
        rows = np.zeros((*ids.shape, table.NUM_FEATURES), dtype=np.int32)
        rows[..., 0] = SUBWORD
        rows[..., 1] = ids >> 16
        rows[..., 2] = (ids >> 8) & 255
        rows[..., 3] = ids & 255
        rows[..., 4] = coordinate
        rows[..., table.ITEM] = item
        rows[ids < 0] = 0
        return rows

    def ids_from_tokens(self, tokens):
        """Converts tokens `[..., 8]` to token ids int32 `[...]`; padding gives -1.

        Raises:
            MdnnError: a token is neither a subword nor padding, or its id is out of range.
        """
        tokens = np.asarray(tokens)
        kind, high, middle, low = (tokens[..., column].astype(np.int32) for column in range(4))
        if (wrong := (kind != 0) & (kind != SUBWORD)).any():
            raise MdnnError(f"expected tokens of subwords; received modality {kind[wrong].flat[0]}")
        ids = np.where(kind == 0, -1, (high << 16) + (middle << 8) + low).astype(np.int32)
        self._check(ids, lowest=-1)
        return ids

    def lengths(self, ids):
        """Returns the number of characters that begin in each token: int32 of the shape of `ids`.

        Their sum over a text is the number of its characters.
        """
        ids = np.asarray(ids)
        self._check(ids, lowest=-1)
        return np.where(ids >= 0, self._lengths[np.maximum(ids, 0)], 0).astype("int32")

    def writable(self, ids):
        """Returns which integers are ids of tokens of the vocabulary, bool."""
        ids = np.asarray(ids)
        return (ids >= 0) & (ids < len(self.token_bytes))

    def token_text(self, number):
        """Returns the text of a token by its id, and the bytes that it stands for.

        Bytes that are not UTF-8 alone become U+FFFD; a special token has its name as a text.
        """
        data = self.token_bytes[number]
        return self._special_texts.get(number, data.decode("utf-8", "replace")), data

    def _check(self, ids, lowest=0):
        if ids.size and (ids.min() < lowest or ids.max() >= self.size):
            wrong = ids[(ids < lowest) | (ids >= self.size)].flat[0]
            raise MdnnError(
                f"expected token ids from {lowest} to {self.size - 1}; received {wrong}"
            )


def _content(token):
    """Returns the string of a token in tokenizer_config.json, a string or an object."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else ""
