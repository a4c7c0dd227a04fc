"""Defines the modality of puzzles: a symbol of the puzzle's alphabet in a cell of its grid."""

from mdnn.tokens.modalities.modality import Modality


class _SymbolModality(Modality):
    # Symbols that the alphabets of all puzzles have.
    probe = (0, 4, 1)


SYMBOL = _SymbolModality("symbol", 10, (32,), ("y", "x"))
"""A symbol by its index in the puzzle's alphabet; puzzles are not items."""
