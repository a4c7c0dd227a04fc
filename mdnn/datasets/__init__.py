"""Texts and items from their sources, and batches that are a pure function of (seed, step)."""

import importlib

# Imported when first used: batches import Keras, which takes seconds.
_MODULE_OF = {
    "TextBatches": "mdnn.datasets.batches.text_batches",
    "TextSplits": "mdnn.datasets.text.text_splits",
    "ItemBatches": "mdnn.datasets.batches.item_batches",
    "Example": "mdnn.datasets.items.example",
    "DatasetSplits": "mdnn.datasets.items.item_splits",
    "PuzzleBatches": "mdnn.datasets.batches.puzzle_batches",
    "item_windows": "mdnn.datasets.batches.item_batches",
    "objective_at": "mdnn.datasets.batches.objectives",
    "open_text": "mdnn.datasets.text.text_splits",
    "open_dataset": "mdnn.datasets.items.item_splits",
    "open_puzzles": "mdnn.datasets.puzzles.puzzle_splits",
    "read_item": "mdnn.datasets.media.media_files",
    "read_text": "mdnn.datasets.text.text_sources",
    "read_video": "mdnn.datasets.media.media_files",
    "split": "mdnn.datasets.text.text_sources",
    "windows": "mdnn.datasets.batches.text_windows",
    "write_item": "mdnn.datasets.media.media_files",
}

__all__ = [*_MODULE_OF]


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'mdnn.datasets' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
