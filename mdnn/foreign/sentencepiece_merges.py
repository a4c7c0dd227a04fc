"""A SentencePiece vocabulary with scores as the merges of byte pair encoding."""

from mdnn.tokens.subwords.byte_strings import SPACE

MAX_PIECE = 128
"""Longer tokens are made by no merge."""


def sentencepiece_json(tokens, scores, space_before=True):
    """Returns the content of a tokenizer.json, a dict.

    SentencePiece joins the two neighbors whose joined token has the highest score, until none can
    be joined; that is byte pair encoding whose merges are ordered by the scores of their results.

    Args:
        tokens: list of distinct strings, spaces written as U+2581; `<0x00>` to `<0xFF>` are bytes.
        scores: list of numbers, one per token.
        space_before: bool, whether a space is put before each text.
    """
    numbers = {token: number for number, token in enumerate(tokens)}
    merges = []
    for token, score in zip(tokens, scores, strict=True):
        for cut in range(1, min(len(token), MAX_PIECE)):
            pair = token[:cut], token[cut:]
            if pair[0] in numbers and pair[1] in numbers:
                merges.append((-score, numbers[pair[0]], numbers[pair[1]], pair))
    merges.sort(key=lambda merge: merge[:3])
    steps = [{"type": "Prepend", "prepend": SPACE}] if space_before else []
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": numbers,
            "merges": [list(pair) for *_, pair in merges],
            "byte_fallback": True,
            "fuse_unk": True,
            "unk_token": "<unk>" if "<unk>" in numbers else None,
        },
    }
