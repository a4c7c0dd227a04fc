"""Texts and items from their sources, and batches that are a pure function of (seed, step)."""

import importlib

# Imported when first used: batches import Keras, which takes seconds.
_PLACES = {
    "Batches": "mdnn.data.batches",
    "Corpus": "mdnn.data.corpus",
    "ItemBatches": "mdnn.data.item_batches",
    "Line": "mdnn.data.line",
    "LineCorpus": "mdnn.data.lines",
    "PuzzleBatches": "mdnn.data.puzzle_batches",
    "item_windows": "mdnn.data.item_batches",
    "objective_at": "mdnn.data.objectives",
    "open_data": "mdnn.data.corpus",
    "open_lines": "mdnn.data.lines",
    "open_puzzles": "mdnn.data.puzzles.corpus",
    "read_item": "mdnn.data.media",
    "read_text": "mdnn.data.sources",
    "read_video": "mdnn.data.media",
    "split": "mdnn.data.sources",
    "windows": "mdnn.data.batches",
    "write_item": "mdnn.data.media",
}

__all__ = [*_PLACES]


def __getattr__(name):
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'mdnn.data' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
