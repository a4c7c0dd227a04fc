"""Splits lines and their alternatives into training and validation parts."""

from dataclasses import dataclass

import numpy as np

from mdnn.datasets.items.example import Example, FileItem
from mdnn.datasets.items.example_sequence import ExampleSequence
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

SPLITS = ("train", "validation")
"""Names of the two sides."""

# Second word of the generator's key: other draws from the same seed take other numbers.
_STREAM = 0x73706C6974  # "split"


@dataclass(frozen=True, eq=False, slots=True)
class SourcePart:
    """One part of a line as its source has it.

    Args:
        entries: tuple of the alternatives.
        split: `"train"` or `"validation"`, the side the part is on; `None`: both.
        splits: tuple of the same, one per alternative, where the source itself says it.
    """

    entries: tuple[Item | FileItem, ...]
    split: str | None = None
    splits: tuple[str | None, ...] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class SourceExample:
    """A line as its source has it: both sides together.

    Args:
        parts: tuple of `SourcePart`.
        name: Its label in error messages.
        split: `"train"` or `"validation"`, the side the line is on; `None`: see `split_lines`.
        order: As of `mdnn.datasets.items.example.Example`.
    """

    parts: tuple[SourcePart, ...]
    name: str
    split: str | None = None
    order: str | None = None


def split_lines(lines, validation, seed, name):
    """Splits lines into training and validation examples.

    - A line with a side is on that side, whole.
    - A line all of whose parts have one alternative and no side is on one side: a share
      `validation` of such lines, at least one, chosen by the seed, validates.
    - Any other line is on both sides, and its alternatives are divided. A part or an alternative
      to which the source assigns a side is on that side. Of the other alternatives of a part, a
      share `validation`, at least one, chosen by the seed, validates. A part with a single
      alternative, such as a word, is on both sides. On a side where a line of several parts
      would have fewer than two, it is left out.

    Args:
        lines: sequence of `SourceExample`.
        validation: float from 0 to 1: the share; 0: only what the source assigns validates.
        seed: int.
        name: Label of the source in error messages.

    Returns:
        `(train, validation)`, `mdnn.datasets.items.example_sequence.ExampleSequence`s in the order
        of the source.

    Raises:
        MdnnError: either side would be empty (validation may be with a share of 0).
    """
    if not 0 <= validation < 1:
        raise MdnnError(f"validation must be at least 0 and below 1; received {validation}")
    split = _Split(lines, validation, seed)
    sides = [
        ExampleSequence(lines, np.flatnonzero(there), getattr(split, side))
        for side, there in zip(SPLITS, split.there, strict=True)
    ]
    for side, examples in zip(SPLITS, sides, strict=True):
        if not len(examples) and (side == "train" or validation):
            raise MdnnError(
                f"{name}: expected lines or alternatives to train and to validate, received "
                f"{len(lines)} lines, of which none is left for {side}"
            )
    return tuple(sides)


class _Split:
    """Divides lines; see `split_lines`.

    Attributes:
        there: bool `[2, lines]`, whether a line is on a side.
    """

    def __init__(self, lines, validation, seed):
        self.share, self.seed = validation, seed
        self.there = np.zeros((2, len(lines)), bool)
        single = np.zeros(len(lines), bool)
        for number, line in enumerate(lines):
            if line.split is not None:
                self.there[SPLITS.index(line.split), number] = True
            elif _is_single(line):
                single[number] = True
            else:
                least = min(2, len(line.parts))
                divided = self._divided(number, line)
                self.there[:, number] = [len(parts) >= least for parts in divided]
        numbers = np.flatnonzero(single)
        aside = numbers[_chosen(len(numbers), validation, seed, 0, 0)]
        self.there[0, numbers] = True
        self.there[:, aside] = [[False], [True]]

    def train(self, number, line):
        """Returns the training `Example` of a line."""
        return self._example(number, line, 0)

    def validation(self, number, line):
        """Returns the validation `Example` of a line."""
        return self._example(number, line, 1)

    def _example(self, number, line, side):
        if line.split is not None or _is_single(line):
            parts = tuple(part.entries for part in line.parts)
        else:
            parts = self._divided(number, line)[side]
        return Example(parts, line.name, line.order)

    def _divided(self, number, line):
        """Returns the parts of a line that are left on each side."""
        divided = [
            _divide(part, self.share, self.seed, number + 1, place)
            for place, part in enumerate(line.parts)
        ]
        return [tuple(part[side] for part in divided if part[side]) for side in (0, 1)]


def _is_single(line):
    """Returns whether a whole line belongs to one side, chosen by the seed."""
    return line.split is None and all(
        len(part.entries) == 1 and part.split is None and part.splits is None for part in line.parts
    )


def _divide(part, validation, seed, line, index):
    """Returns the training and the validation alternatives of a part."""
    if part.split is not None:
        return tuple(part.entries if part.split == side else () for side in SPLITS)
    splits = part.splits or (None,) * len(part.entries)
    free = [number for number, side in enumerate(splits) if side is None]
    if len(part.entries) == 1 and free:
        return part.entries, part.entries
    aside = {free[number] for number in _chosen(len(free), validation, seed, line, index)}
    sides = [side or SPLITS[number in aside] for number, side in enumerate(splits)]
    return tuple(
        tuple(entry for entry, own in zip(part.entries, sides, strict=True) if own == side)
        for side in SPLITS
    )


def _chosen(number, share, seed, line, index):
    """Returns a share of the first `number` integers, at least one and not all, by the seed.

    From Philox's raw stream, which numpy keeps the same between versions.
    """
    if number < 2 or not share:
        return []
    counter = np.array([0, line, index, 0], dtype=np.uint64)
    key = np.array([seed % 2**64, _STREAM], dtype=np.uint64)
    bits = np.random.Philox(counter=counter, key=key).random_raw(number)
    count = min(max(1, round(number * share)), number - 1)
    return np.argsort(bits, kind="stable")[:count].tolist()
