"""Learns a subword vocabulary from a text."""

import json

from mdnn.tokens.subwords.byte_strings import SPACE, byte_characters
from mdnn.tokens.subwords.subword_tokenizer import tokenizers_package


def train_subwords(text, size, kind="bytes"):
    """Learns the vocabulary of a tokenizer by byte pair encoding.

    Args:
        text: str.
        size: int, the most tokens, those of the 256 bytes among them.
        kind: `"bytes"`: merges bytes inside words, as GPT-2 does. `"sentencepiece"`: merges
            characters, a space before a word belongs to it; characters that the vocabulary lacks
            are written as bytes.

    Returns:
        Tuple of the texts of tokenizer.json and tokenizer_config.json, for `SubwordTokenizer`.

    Raises:
        MdnnError: the package `tokenizers` is not installed.
    """
    package = tokenizers_package()
    lines = text.encode("utf-8", "replace").decode("utf-8").splitlines(keepends=True)
    models, trainers, pre = package.models, package.trainers, package.pre_tokenizers
    if kind == "bytes":
        tokenizer = package.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
        alphabet = list(byte_characters())
        trainer = trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(lines, trainer)
        return tokenizer.to_str(), "{}"
    tokenizer = package.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.Metaspace(replacement=SPACE, prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=max(1, size - 256), show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    table = json.loads(tokenizer.to_str())
    learned = sorted(table["model"]["vocab"].items(), key=lambda pair: pair[1])
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    names += [token for token, _ in learned if token not in names]
    # Rare characters of a large alphabet fall back to bytes.
    names, known = names[:size], set(names[:size])
    merges = [pair for pair in table["model"]["merges"] if _merged(pair) <= known]
    table["model"] |= {
        "vocab": {token: number for number, token in enumerate(names)},
        "merges": merges,
        "byte_fallback": True,
    }
    return json.dumps(table, ensure_ascii=False), "{}"


def _merged(pair):
    """Returns the set of a merge's two tokens and their result."""
    first, second = pair.split(" ") if isinstance(pair, str) else pair
    return {first, second, first + second}
