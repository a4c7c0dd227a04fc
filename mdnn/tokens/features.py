"""Names the eight integers of a token."""

TOKEN_FEATURES = ("modality", "byte_1", "byte_2", "byte_3", "place_1", "place_2", "place_3", "item")
"""Names of a token's integers. A token of zeros is padding."""

NUM_FEATURES = len(TOKEN_FEATURES)
"""Number of integers in a token (8)."""

MAX_TOKEN_VALUE = 2**31 - 1
"""Largest value of each of them (int32)."""

# Indices and slices for the last axis: tokens[..., BYTES].
MODALITY = TOKEN_FEATURES.index("modality")
BYTES = slice(TOKEN_FEATURES.index("byte_1"), TOKEN_FEATURES.index("byte_3") + 1)
COORDINATES = slice(TOKEN_FEATURES.index("place_1"), TOKEN_FEATURES.index("place_3") + 1)
ITEM = TOKEN_FEATURES.index("item")
