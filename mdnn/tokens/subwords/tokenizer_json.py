"""Reads a tokenizer.json: checks it before the `tokenizers` package sees it.

The file is untrusted. Only the kinds of parts below are known; regular expressions are those of
well-known tokenizers, because others could take exponential time.
"""

import dataclasses
import json

from mdnn.errors import MdnnError, shown
from mdnn.strict_json import MAX_JSON_BYTES, parse_json
from mdnn.tokens.subwords.byte_strings import byte_level_bytes, sentencepiece_bytes

MAX_TOKENS = 1 << 20
"""Largest number of tokens of a vocabulary."""
MAX_TOKEN_CHARACTERS = 1024

MODELS = ("BPE", "Unigram")
NORMALIZERS = ("NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Sequence")
PRE_TOKENIZERS = ("ByteLevel", "Digits", "Metaspace", "Split", "Sequence")
POST_PROCESSORS = ("ByteLevel", "TemplateProcessing", "Sequence")

REGULAR_EXPRESSIONS = (
    # GPT-2
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # LLaMA 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    # Qwen 2
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)


@dataclasses.dataclass(frozen=True)
class TokenizerFacts:
    """Contents of a tokenizer.json.

    Args:
        table: its parsed content, a dict, without truncation and padding.
        token_bytes: tuple of bytes, the content of each token; empty for special tokens and for
            numbers without a token.
        special: dict from the contents of special tokens to their numbers.
        byte_level: bool, whether tokens are bytes (otherwise SentencePiece style).
    """

    table: dict
    token_bytes: tuple
    special: dict
    byte_level: bool


def read_tokenizer(text, where="tokenizer.json"):
    """Checks the text of a tokenizer.json.

    Args:
        text: str.
        where: the file's name in errors.

    Returns:
        `TokenizerFacts`.

    Raises:
        MdnnError: the text is not a tokenizer.json, or of a kind that is not known; the kind is
            named.
    """
    if len(text) > MAX_JSON_BYTES:
        raise MdnnError(f"{where}: expected at most {MAX_JSON_BYTES:,} characters")
    table = parse_json(text, where)
    if not isinstance(table, dict) or not isinstance(table.get("model"), dict):
        raise MdnnError(f"{where}: expected an object with the key 'model'")
    tokens = _model_tokens(table["model"], where)
    _check_parts(table.get("normalizer"), "normalizer", NORMALIZERS, where)
    _check_parts(table.get("pre_tokenizer"), "pre_tokenizer", PRE_TOKENIZERS, where)
    _check_parts(table.get("post_processor"), "post_processor", POST_PROCESSORS, where)
    # Texts are cut and filled up by contexts, not by the tokenizer; bytes are decoded here.
    table |= {"truncation": None, "padding": None, "decoder": None}
    byte_level = any(
        '"ByteLevel"' in json.dumps(table.get(name)) for name in ("pre_tokenizer", "post_processor")
    )
    spell = byte_level_bytes if byte_level else sentencepiece_bytes
    strings = {number: spell(token) for token, number in tokens.items()}
    special = {}
    for added in _added_tokens(table, where):
        strings[added["id"]] = added["content"].encode("utf-8", "replace")
        if added.get("special"):
            special[added["content"]] = added["id"]
            strings[added["id"]] = b""
    size = 1 + max(strings, default=-1)
    if not 1 <= size <= MAX_TOKENS:
        raise MdnnError(f"{where}: expected 1 to {MAX_TOKENS:,} tokens, received {size:,}")
    token_bytes = tuple(strings.get(number, b"") for number in range(size))
    return TokenizerFacts(table, token_bytes, special, byte_level)


def _model_tokens(model, where):
    """Returns a dict from tokens to their numbers."""
    kind, vocabulary = model.get("type", "BPE"), model.get("vocab")
    if kind not in MODELS:
        raise MdnnError(f"{where}: unknown tokenizer {shown(kind)}; known: {', '.join(MODELS)}")
    if kind == "Unigram":
        pairs = vocabulary if isinstance(vocabulary, list) else None
        good = pairs is not None and all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], (int, float))
            for pair in pairs
        )
        vocabulary = {pair[0]: n for n, pair in enumerate(pairs)} if good else None
        if good and len(vocabulary) < len(pairs):
            raise MdnnError(f"{where}: expected distinct tokens")
    if not isinstance(vocabulary, dict):
        raise MdnnError(f"{where}: expected a vocabulary of tokens in 'model'")
    if len(vocabulary) > MAX_TOKENS:
        raise MdnnError(f"{where}: expected at most {MAX_TOKENS:,} tokens")
    for token, number in vocabulary.items():
        _check_token(token, number, where)
    if len(set(vocabulary.values())) < len(vocabulary):
        raise MdnnError(f"{where}: expected distinct numbers of tokens")
    return vocabulary


def _check_token(token, number, where):
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        raise MdnnError(
            f"{where}: expected tokens of at most {MAX_TOKEN_CHARACTERS} characters, received "
            f"{shown(token)}"
        )
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < MAX_TOKENS:
        raise MdnnError(
            f"{where}: token {shown(token)}: expected a number from 0 to {MAX_TOKENS - 1:,}, "
            f"received {shown(number)}"
        )


def _added_tokens(table, where):
    """Returns the list of added tokens, checked."""
    added = table.get("added_tokens") or []
    if not isinstance(added, list) or len(added) > MAX_TOKENS:
        raise MdnnError(f"{where}: expected a list of added_tokens")
    for token in added:
        if not isinstance(token, dict) or not token.get("content"):
            raise MdnnError(f"{where}: expected objects with 'content' in added_tokens")
        _check_token(token["content"], token.get("id"), where)
    return added


def _check_parts(part, name, known, where, depth=0):
    """Refuses a normalizer, pre-tokenizer or post-processor of an unknown kind."""
    if part is None:
        return
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in known:
        raise MdnnError(f"{where}: unknown {name} {shown(kind)}; known: {', '.join(known)}")
    if kind == "Sequence":
        key = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers"}.get(name)
        inner = part.get(key or "processors")
        if not isinstance(inner, list) or len(inner) > 16 or depth > 3:
            raise MdnnError(f"{where}: {name}: expected a short list of parts in a Sequence")
        for one in inner:
            _check_parts(one, name, known, where, depth + 1)
    if kind in ("Split", "Replace"):
        _check_pattern(part.get("pattern"), name, where)


def _check_pattern(pattern, name, where):
    pattern = pattern if isinstance(pattern, dict) else {}
    if isinstance(pattern.get("String"), str) and len(pattern) == 1:
        return
    if pattern.get("Regex") not in REGULAR_EXPRESSIONS:
        raise MdnnError(
            f"{where}: {name}: unknown regular expression {shown(pattern.get('Regex'))}; known: "
            "those of GPT-2, LLaMA 3 and Qwen 2"
        )
