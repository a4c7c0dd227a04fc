"""Tokens of learned slots: positions at a context's start whose vectors are learned numbers."""

import numpy as np

from mdnn.tokens.features import BYTES, COORDINATES, MODALITY, NUM_FEATURES
from mdnn.tokens.modalities import MAX_MODALITIES

SLOT = MAX_MODALITIES
"""Value of the column `modality` for a slot, above those of all modalities: no table has a row for
it. The first byte is the number of the slot."""


def slot_tokens(count):
    """Returns the tokens of `count` slots, int32 `[count, 8]`."""
    tokens = np.zeros((count, NUM_FEATURES), "int32")
    tokens[:, MODALITY], tokens[:, BYTES.start] = SLOT, np.arange(count)
    return tokens


def behind_slots(rows, count, targets=False):
    """Puts slots before windows of a text.

    Args:
        rows: int32 `[batch, n, 8]`, tokens; their coordinates grow by `count`.
        count: int, number of slots.
        targets: bool, whether the rows are targets: slots have none.

    Returns:
        int32 `[batch, count + n, 8]`.
    """
    if not count:
        return rows
    moved = np.array(rows)
    moved[..., COORDINATES.start] += count * (moved[..., MODALITY] > 0)
    slots = np.zeros((count, NUM_FEATURES), "int32") if targets else slot_tokens(count)
    return np.concatenate([np.broadcast_to(slots, (len(rows), count, NUM_FEATURES)), moved], axis=1)
