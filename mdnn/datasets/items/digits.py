"""Scikit-learn's digits: 1,797 written digits, 8x8, that come with the package."""

import numpy as np

from mdnn.datasets.items.train_validation_split import SourceExample, SourcePart
from mdnn.datasets.text.text_sources import DIGITS
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The words of the ten digits."""

LEVELS = 16
"""The highest value of a pixel in scikit-learn's arrays; the lowest is 0."""


def grey_levels(values):
    """Returns uint8 pixels from 0 to 255 for scikit-learn's values from 0 to 16."""
    return (np.asarray(values).astype(np.int64) * 255 // LEVELS).astype(np.uint8)


def digit_lines():
    """Returns the ten digits, each a `SourceExample`: its word, and its 8x8 pictures.

    Raises:
        MdnnError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MdnnError(
            f"{DIGITS!r} needs scikit-learn ({error}): pip install 'mdnn[digits]'"
        ) from None
    data = load_digits()
    pictures = grey_levels(data.images)
    lines = []
    for digit, word in enumerate(WORDS):
        entries = tuple(
            Item("grey", pictures[number], name=f"{DIGITS} {number} ({word})")
            for number in np.flatnonzero(data.target == digit)
        )
        text = Item("text", word, name=f"{DIGITS} {word}")
        lines.append(SourceExample((SourcePart((text,)), SourcePart(entries)), f"{DIGITS} {word}"))
    return lines
