"""The bytes that each token of a subword vocabulary stands for."""

import functools
import re

SPACE = "\u2581"
"""How SentencePiece writes a space inside a token."""

BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")
"""A token of one byte in SentencePiece vocabularies."""


@functools.cache
def byte_characters():
    """Returns the 256 characters by which byte-level BPE writes bytes, a string.

    Printable Latin-1 characters stand for themselves, the other bytes for characters from U+0100
    on, in order (GPT-2's `bytes_to_unicode`).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


@functools.cache
def _bytes_of_characters():
    return {character: byte for byte, character in enumerate(byte_characters())}


def byte_level_bytes(token):
    """Returns the bytes of a token of byte-level BPE."""
    table = _bytes_of_characters()
    if all(character in table for character in token):
        return bytes(table[character] for character in token)
    return token.encode("utf-8", "replace")


def sentencepiece_bytes(token):
    """Returns the bytes of a token of a SentencePiece vocabulary."""
    if byte := BYTE_TOKEN.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(SPACE, " ").encode("utf-8", "replace")


def count_characters(data):
    """Returns the number of characters that begin in UTF-8 bytes."""
    return sum(byte & 0xC0 != 0x80 for byte in data)
