"""Defines the tokens that are part of no item: padding, the mask token and the end token."""

from mdnn.tokens.modalities.modality import Modality

PADDING = Modality("padding", 0)
"""A position without a token."""

MASK = Modality("blank", 8, (16,), ("t", "y", "x"))
"""The mask token (`blank` in configs and weight names). `byte_1` holds the number of the requested
modality (0: the network decides); the coordinates and the item number are those of the token to
predict, where they are known."""

END = Modality("end", 9)
"""The end token, which follows the last token of a context's items."""
