"""Names the eight integers of a token."""

COLUMNS = ("modality", "byte_1", "byte_2", "byte_3", "place_1", "place_2", "place_3", "item")
"""Names of a token's integers. A token of zeros is padding."""

WIDTH = len(COLUMNS)
"""Number of integers in a token (8)."""

# Indices and slices for the last axis: tokens[..., BYTES].
MODALITY = COLUMNS.index("modality")
BYTES = slice(COLUMNS.index("byte_1"), COLUMNS.index("byte_3") + 1)
PLACES = slice(COLUMNS.index("place_1"), COLUMNS.index("place_3") + 1)
ITEM = COLUMNS.index("item")
