"""Converts texts to windows of tokens for the text decoders."""

import math

import numpy as np
from keras import ops

from mdnn.tokens.context_slots import SLOT, slot_tokens
from mdnn.tokens.features import MODALITY, NUM_FEATURES, TOKEN_FEATURES
from mdnn.tokens.modalities import modality

TOKEN_BYTES = 4
"""Number of leading integers of a token that encode its content: modality and three bytes."""

# Replacement for an unpaired surrogate: U+FFFD as row and cell of plane 0.
REPLACEMENT = (0xFF, 0xFD)


def overlap_length(grid):
    """Returns the number of last tokens of a full context that the next context starts with.

    Half a context, rounded down to whole rows if there are several rows. About half a context
    therefore precedes every predicted token, as in the sliding windows of `mdnn.evaluate`, and a
    context is read again once per half context of generated tokens.

    Args:
        grid: tuple of int, the sizes of the context's axes.
    """
    row, rows = grid[-1], math.prod(grid[:-1])
    return max(1, row // 2) if rows == 1 else rows // 2 * row


def with_coordinates(tokens, start=0):
    """Extends tokens int32 `[batch, n, 4]` to `[batch, n, 8]` with coordinates from `start`."""
    coordinate = ops.arange(tokens.shape[1], dtype="int32")[None, :, None] + start
    coordinate = coordinate * ops.cast(tokens[:, :, :1] > 0, "int32")
    rest = ops.zeros_like(ops.concatenate([tokens] * 2, axis=-1))[
        :, :, : NUM_FEATURES - TOKEN_BYTES - 1
    ]
    return ops.concatenate([tokens, coordinate, rest], axis=-1)


def sanitize_tokens(tokens, words=0):
    """Replaces tokens int32 `[..., 4]` that are not valid text.

    An unpaired surrogate becomes U+FFFD; a word number beyond the table of `words` words becomes
    that of the last word.
    """
    kind, first, second, third = (tokens[..., k] for k in range(TOKEN_BYTES))
    half = (kind == modality("text").index) & (first == 0) & (second // 8 == 0xD8 // 8)
    second = ops.where(half, REPLACEMENT[0], second)
    third = ops.where(half, REPLACEMENT[1], third)
    if words:
        word = kind == modality("word").index
        number = ops.minimum(first * 256 + second, words - 1)
        first = ops.where(word, number // 256, first)
        second = ops.where(word, number % 256, second)
    return ops.cast(ops.stack([kind, first, second, third], axis=-1), "int32")


def next_window(window, overlap):
    """Returns the beginning of the context after a full one: its slots and its last tokens.

    Args:
        window: int32 `[positions + 1, batch, 4]`, a full context and the token after it.
        overlap: int, length of the beginning, the slots of the contexts included.

    Returns:
        int32 `[overlap, batch, 4]`.
    """
    slots = window[:overlap]
    is_slot = slots[..., MODALITY : MODALITY + 1] == SLOT
    return ops.where(is_slot, slots, window[window.shape[0] - overlap :])


def encode_prompts(tokenizer, texts, positions, slots=0):
    """Encodes prompts as windows.

    Args:
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        texts: list of non-empty str; a prompt longer than the context is reduced to its end.
        positions: int, number of positions of a context.
        slots: int, number of learned slots at a context's start; or a list with that of each text.

    Returns:
        int32 `[batch, positions, 4]`, and the lengths in tokens with the slots, int32 `[batch]`.
    """
    counts = np.broadcast_to(slots, len(texts)).tolist()
    window = np.zeros((len(texts), positions, TOKEN_BYTES), "int32")
    lengths = np.zeros(len(texts), "int32")
    for number, (text, count) in enumerate(zip(texts, counts, strict=True)):
        ids = tokenizer.ids(text)[count - positions :]
        rows = np.concatenate([slot_tokens(count), tokenizer.tokens(ids)])
        window[number, : len(rows)] = rows[:, :TOKEN_BYTES]
        lengths[number] = len(rows)
    return window, lengths


def pad_features(tokens):
    """Extends tokens `[..., 4]` to int32 `[..., 8]` with zeros."""
    rest = np.zeros((*tokens.shape[:-1], len(TOKEN_FEATURES) - TOKEN_BYTES), "int32")
    return np.concatenate([tokens, rest], axis=-1)
