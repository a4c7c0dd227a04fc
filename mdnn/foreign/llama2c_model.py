"""Reads llama2.c's files: float32 weights after seven integers, and its tokenizer."""

import json
import math
import struct
from pathlib import Path

import numpy as np

from mdnn.errors import MdnnError
from mdnn.foreign.gguf_model import halves_of_pairs
from mdnn.foreign.gguf_tokenizer import added_token, with_bos
from mdnn.foreign.llama_shape import LlamaShape
from mdnn.foreign.sentencepiece_merges import sentencepiece_json
from mdnn.foreign.stored_rows import StoredRows
from mdnn.tokens.subwords.byte_strings import SPACE

HEADER = struct.Struct("<7i")
MAX_TOKENIZER_BYTES = 1 << 26

# Weights of all blocks, one kind after another, around the feed-forward's norm.
_ORDER = (
    *("attention_norm", "query", "key", "value", "result", "hidden_norm", "gate", "down", "up"),
)


class Llama2cModel:
    """A file of llama2.c with the methods that `mdnn.foreign.import_run` needs.

    Args:
        path: `pathlib.Path` of the weights.
        tokenizer: path of the tokenizer; `None` for `tokenizer.bin` or `tok<vocabulary>.bin` beside
            the weights.

    Attributes:
        shape: `LlamaShape`.
        vocabulary: tuple of the two texts of the tokenizer.

    Raises:
        MdnnError: the size of the file is not that of its weights, or there is no tokenizer.
    """

    def __init__(self, path, tokenizer=None):
        self.path = Path(path)
        size = self.path.stat().st_size
        with open(self.path, "rb") as file:
            start = file.read(HEADER.size)
        if len(start) < HEADER.size:
            raise MdnnError(f"{path} is neither a GGUF file nor one of llama2.c")
        width, hidden, blocks, heads, kv_heads, vocabulary, context = HEADER.unpack(start)
        self.shape = LlamaShape(
            abs(vocabulary), width, hidden, blocks, heads, kv_heads, context, tied=vocabulary > 0
        ).check(f"{path} is neither a GGUF file nor one of llama2.c")
        self._places = self._laid_out()
        expected = self._places.pop("end")
        if size != expected:
            raise MdnnError(
                f"{path}: expected {expected:,} bytes for a network of llama2.c of width {width} "
                f"with {blocks} blocks, received {size:,}"
            )
        self.vocabulary = read_llama2c_tokenizer(self._tokenizer(tokenizer), self.shape.vocabulary)

    def _laid_out(self):
        """Returns where the weights begin, a dict from names to bytes, and `"end"`."""
        shapes, at, places = self.shape.matrices(), HEADER.size, {}

        def place(name):
            nonlocal at
            places[name] = at
            at += 4 * math.prod(shapes[name])

        place("embedding")
        for name in _ORDER:
            for block in range(self.shape.blocks):
                place(f"{block}.{name}")
        place("norm")
        # Tables of the rotary embedding's cosines and sines, which are computed instead.
        at += 4 * self.shape.context * (self.shape.width // self.shape.heads)
        if not self.shape.tied:
            place("head")
        return places | {"end": at}

    def _tokenizer(self, path):
        if path is not None:
            return Path(path)
        names = (f"tok{self.shape.vocabulary}.bin", "tokenizer.bin")
        for name in names:
            if (self.path.parent / name).is_file():
                return self.path.parent / name
        raise MdnnError(
            f"{self.path}: expected its tokenizer beside it, {' or '.join(names)} (--tokenizer)"
        )

    def rows(self, name):
        """Reads a weight; see `mdnn.foreign.gguf_model.GgufModel.rows`."""
        rows, columns = (1, *self.shape.matrices()[name])[-2:]
        start = self._places[name]
        values = np.fromfile(self.path, "<f4", rows * columns, offset=start)
        found = StoredRows("float32", columns, values.reshape(rows, columns))
        if name.endswith((".query", ".key")):
            return found.taken(halves_of_pairs(rows, self.shape))
        return found


def read_llama2c_tokenizer(path, size):
    """Reads llama2.c's tokenizer.bin: a score, a length and bytes for each token.

    Args:
        path: `pathlib.Path` of the file.
        size: int, number of tokens.

    Returns:
        Tuple of the texts of tokenizer.json and tokenizer_config.json.

    Raises:
        MdnnError: the file is missing, truncated or damaged.
    """
    if not path.is_file():
        raise MdnnError(f"{path}: expected the tokenizer of llama2.c, there is no file")
    if path.stat().st_size > MAX_TOKENIZER_BYTES:
        raise MdnnError(f"{path}: expected a tokenizer of at most {MAX_TOKENIZER_BYTES:,} bytes")
    data, at = path.read_bytes(), 4
    tokens, scores = [], []
    for number in range(size):
        if at + 8 > len(data):
            raise MdnnError(f"{path} is truncated: expected {size} tokens, received {number}")
        score, length = struct.unpack_from("<fi", data, at)
        at += 8
        if not 0 <= length <= len(data) - at or not math.isfinite(score):
            raise MdnnError(f"{path} is damaged: token {number} of {length} bytes")
        tokens.append(data[at : at + length].decode("utf-8", "replace").replace(" ", SPACE))
        scores.append(score)
        at += length
    if at != len(data):
        raise MdnnError(f"{path}: expected {size} tokens, received more")
    # The first three are those of SentencePiece, written with line breaks around them.
    special = ["<unk>", "<s>", "</s>"]
    tokens[:3] = special[: len(tokens)]
    if len(set(tokens)) < len(tokens):
        raise MdnnError(f"{path}: expected distinct tokens")
    table = sentencepiece_json(tokens, scores)
    table["added_tokens"] = [added_token(n, token, True) for n, token in enumerate(tokens[:3])]
    table["post_processor"] = with_bos("<s>", 1)
    about = {"bos_token": "<s>", "eos_token": "</s>"}
    # A text of its training ends where the next one begins.
    about["end_tokens"] = ["<s>"]
    return json.dumps(table, ensure_ascii=False), json.dumps(about)
