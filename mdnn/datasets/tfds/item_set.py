"""The examples of a set of TensorFlow Datasets (TFDS): items in a memory map, labels, lines."""

import array
import collections.abc
from dataclasses import dataclass

import numpy as np

from mdnn.datasets.items.item_store import StoredItem
from mdnn.datasets.items.train_validation_split import SourceExample, SourcePart
from mdnn.errors import MdnnError, did_you_mean
from mdnn.tokens.items import Item


@dataclass(frozen=True, eq=False)
class TfdsExample:
    """One example of a set.

    Args:
        items: tuple of `Item`, its pictures, films, sounds and texts in the order of the set.
        label: int or `None`.
        side: `"train"`, `"validation"` or `None`: the side that the set itself says.
    """

    items: tuple[Item, ...]
    label: int | None
    side: str | None


class SetNames:
    """Names of the examples of a set and of their items, made on demand.

    Args:
        called: str, the name of the set in errors.
        splits: names of the splits that are read, in their order.
        keys: names of the features that make items, in their order.
    """

    def __init__(self, called, splits, keys):
        self.called, self.splits, self.keys = called, tuple(splits), tuple(keys)
        # Of each example its split and number in it; of each item its example and feature.
        self.codes, self.numbers = array.array("b"), array.array("q")
        self.owners, self.features = array.array("q"), array.array("b")

    def example(self, example):
        """Returns the name of an example, by its number in the set."""
        return f"{self.called} {self.splits[self.codes[example]]} {self.numbers[example]}"

    def item(self, number):
        """Returns the name of an item, by its number in the set."""
        return f"{self.example(self.owners[number])} {self.keys[self.features[number]]}"


class SetExamples(collections.abc.Sequence):
    """The examples of a set, made at each access from a memory map of their items.

    Args:
        called: str, the name of the set in errors.
        sides: dict from the splits that are read to the side of each, or `None`.
        keys: names of the features that make items, in their order.
    """

    def __init__(self, called, sides, keys):
        self.names, self.sides = SetNames(called, sides, keys), tuple(sides.values())
        self.items, self.labels, self.ends = None, array.array("q"), array.array("q", [0])

    def add(self, writer, split, number, items, label):
        """Writes an example with at least one item.

        Args:
            writer: `mdnn.datasets.items.item_store.ItemWriter`.
            split: str, one of the splits.
            number: int, of the example in its split.
            items: dict from keys to `Item`s.
            label: int; -1 for none.
        """
        names = self.names
        for key, item in items.items():
            writer.add(item)
            names.owners.append(len(self.labels))
            names.features.append(names.keys.index(key))
        names.codes.append(names.splits.index(split))
        names.numbers.append(number)
        self.labels.append(label)
        self.ends.append(len(writer))

    def finish(self, writer):
        """Receives the written items."""
        self.items = writer.items(self.names.item)

    def side(self, example):
        """Returns the split that the set assigns to an example: train, validation or `None`."""
        return self.sides[self.names.codes[example]]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        index = range(len(self))[index]
        items = tuple(self.items[n] for n in range(self.ends[index], self.ends[index + 1]))
        label = self.labels[index]
        return TfdsExample(items, None if label < 0 else label, self.side(index))

    def items_of(self, key, label=None):
        """Returns the numbers of the items of a kind and a label, and those of their examples."""
        numbers = self.items.of_key(key)
        owners = np.frombuffer(self.names.owners, np.int64)[numbers]
        if label is None:
            return numbers, owners
        right = np.frombuffer(self.labels, np.int64)[owners] == label
        return numbers[right], owners[right]


@dataclass(frozen=True, eq=False)
class ItemSet:
    """The examples of a set.

    Args:
        name: str, the set's.
        labels: tuple of the labels' names; `None` if the set has no labels.
        examples: `SetExamples`.
    """

    name: str
    labels: tuple[str, ...] | None
    examples: SetExamples

    def of(self, kind, label=None):
        """Returns the items of a kind and a label.

        Args:
            kind: `"image"`, `"video"`, `"audio"` or `"text"`; grey pictures are `"image"`.
            label: int, a label's number, or its name; `None`: all of them.

        Returns:
            `(items, sides)`: tuples, the items as `StoredItem`, the side of each that the set
            itself says, or `None`.

        Raises:
            MdnnError: the set has no such label or no such items.
        """
        if label is not None:
            label = self._number(label)
        numbers, owners = self.examples.items_of(kind, label)
        if not len(numbers):
            which = "" if label is None else f" with the label {self.labels[label]!r}"
            raise MdnnError(f"tfds:{self.name} has no item of the kind {kind}{which}")
        items = tuple(StoredItem(self.examples.items, number) for number in numbers.tolist())
        return items, tuple(map(self.examples.side, owners.tolist()))

    def _number(self, label):
        if self.labels is None:
            raise MdnnError(f"tfds:{self.name} has no labels; received {label!r}")
        if isinstance(label, str) and label in self.labels:
            return self.labels.index(label)
        if type(label) is int and 0 <= label < len(self.labels):
            return label
        hint = did_you_mean(str(label), self.labels, 0.6)
        raise MdnnError(
            f"tfds:{self.name}: expected a label's name or a number from 0 to "
            f"{len(self.labels) - 1}, received {label!r}{hint}"
        )


class SetLines(collections.abc.Sequence):
    """A set as lines, one for each example, made at each access; see `example_lines`.

    Args:
        found: `ItemSet`.
        take: function of a line that returns the line to take; `None`: as it is.
    """

    def __init__(self, found, take=None):
        self.found, self.take = found, take

    def __len__(self):
        return len(self.found.examples)

    def keeps(self, index):
        """Returns whether a line is kept as an object: none is."""
        return False

    def __getitem__(self, index):
        example, where = self.found.examples[index], self.found.examples.names.example(index)
        texts = [item for item in example.items if item.kind == "text"]
        others = [item for item in example.items if item.kind != "text"]
        words = []
        if example.label is not None:
            label = self.found.labels[example.label]
            words = [Item("text", label, name=f"{where}, its label")]
        if not words or not others:
            words += texts
        parts = tuple(SourcePart((item,)) for item in (*words, *others))
        line = SourceExample(parts, where, example.side)
        return line if self.take is None else self.take(line)
