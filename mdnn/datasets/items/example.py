"""Defines examples: items that belong together in one context, each with its variants."""

import functools
import threading
from dataclasses import dataclass, field

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.items import Item, check_kind
from mdnn.tokens.modalities import ReadOptions, modality

ORDERS = ("given", "any", "pairs")
"""How the parts of a line follow one another in a context (see `Example.draw`)."""


# Held while a file's item is kept: of two threads that read it, both get the first one's.
_KEEPING = threading.Lock()


class ByteBudget:
    """Counts the bytes of items that are kept after they were read.

    Args:
        left: int, bytes that may be kept.
    """

    def __init__(self, left=1 << 29):
        self.left = left

    def take(self, item):
        """Returns whether there was room for an item, which is then kept."""
        size = getattr(item.value, "nbytes", 0) or len(item.value)
        if size > self.left:
            return False
        self.left -= size
        return True


@dataclass(frozen=True, eq=False, slots=True)
class FileItem:
    """An item in a file, read on first use and cached while there is room.

    Args:
        kind: Name of a kind of item; a picture or a film may turn out grey.
        paths: Paths: one file, or a film's pictures in their order.
        rate: int, samples per second a sound is resampled to; `None`: its own.
        kinds: Kinds of items that are taken; `None`: all.
        convert: bool, whether conversions that lose something are made (see
            `mdnn.datasets.media.media_files.read_item`).
        encoding: str, the encoding of a text.
        room: `ByteBudget` of the source; `None`: the item is kept.
    """

    kind: str
    paths: tuple[str, ...]
    rate: int | None = None
    kinds: tuple[str, ...] | None = None
    convert: bool = False
    encoding: str = "utf-8"
    room: ByteBudget | None = None
    _item: Item | None = field(default=None, init=False, repr=False)

    def read(self):
        """Returns the `Item`, the same object every time if it is kept.

        Raises:
            MdnnError: the file cannot be read or is of a kind that is not taken.
        """
        if self._item is None:
            form = modality(self.kind)
            options = ReadOptions(self.rate, self.convert, self.encoding, self.kinds)
            item = form.read(self.paths if form.list_entries else self.paths[0], options)
            if modality(item.kind).key != form.key:
                raise MdnnError(f"{self.paths[0]}: expected {self.kind}, received {item.kind}")
            if not len(item.value):
                raise MdnnError(f"{self.paths[0]}: it is empty")
            check_kind(item.kind, self.kinds, self.paths[0])
            with _KEEPING:
                if self._item is None:
                    if self.room is not None and not self.room.take(item):
                        return item
                    object.__setattr__(self, "_item", item)
        return self._item


def load_item(entry):
    """Returns the `Item` of a line's entry: itself, or read from its file."""
    return entry if isinstance(entry, Item) else entry.read()


@dataclass(frozen=True, eq=False)
class Example:
    """Items that belong together, in their order.

    Args:
        parts: tuple of parts, each a tuple of alternatives of one kind: `Item`s, or `FileItem`s
            that are read when first needed. A context has one alternative of a part.
        name: the example's label in error messages.
        order: Fixed order of this example, overriding the requested one; `None`: the requested
            one.

    Raises:
        MdnnError: there is no part, a part without alternatives, or an unknown order.

    Example:

    >>> line = Example((("seven",), (picture, another)), "seven")  # each an Item
    >>> items, answer = line.draw(bits[: line.draws], "any")
    """

    parts: tuple[tuple[Item | FileItem, ...], ...]
    name: str = ""
    order: str | None = None

    def __post_init__(self):
        if self.order is not None:
            self.check(self.order)
        if not self.parts or not all(self.parts):
            counts = [len(part) for part in self.parts]
            raise MdnnError(
                f"{self.name or 'a line'}: expected parts of at least one item each, "
                f"received {counts}"
            )

    @property
    def draws(self):
        """int, number of random numbers that `draw` takes."""
        return 2 * len(self.parts)

    @functools.cached_property
    def kinds(self):
        """Tuple of strings, each part's kind; grey pictures and films count as the colored."""
        return tuple(modality(part[0].kind).key for part in self.parts)

    @functools.cached_property
    def pairs(self):
        """Tuple of pairs of numbers of parts that are of different kinds, in both orders."""
        numbers = range(len(self.parts))
        return tuple(
            (one, two) for one in numbers for two in numbers if self.kinds[one] != self.kinds[two]
        )

    def order_of(self, order):
        """Returns the line's own order, or the given default if it has none."""
        return self.order or order

    def check(self, order):
        """Refuses an order that the line cannot have.

        Raises:
            MdnnError: the order is unknown, or is `"pairs"` and all parts are of one kind.
        """
        if order not in ORDERS:
            raise MdnnError(
                f"{self.name or 'a line'}: expected an order: {', '.join(ORDERS)}; received "
                f"{order!r}"
            )
        if order == "pairs" and not self.pairs:
            raise MdnnError(
                f"{self.name or 'a line'}: a pair needs items of two kinds, received "
                f"{', '.join(self.kinds)}"
            )

    def draw(self, bits, order="given"):
        """Returns the items of one context, a pure function of the line and the bits.

        Args:
            bits: uint64 `[draws]` or more, random bits: all the randomness that is used.
            order: `"given"`: all parts in their order; `"any"`: all parts in a random order;
                `"pairs"`: two parts of different kinds in a random order. Of each part one
                alternative is taken at random. A line's own order comes before.

        Returns:
            `(items, answer)`: a list of `Item`, and the index of the one that is the answer:
            the last.

        Raises:
            MdnnError: the line cannot have this order, the bits are too few, or a file that
                is read now is bad.
        """
        order = self.order_of(order)
        self.check(order)
        bits = np.asarray(bits, dtype=np.uint64).ravel()
        number = len(self.parts)
        if len(bits) < self.draws:
            raise MdnnError(
                f"{self.name or 'a line'}: a draw takes {self.draws} numbers, received {len(bits)}"
            )
        if order == "given":
            chosen = range(number)
        elif order == "any":
            chosen = np.argsort(bits[number : 2 * number], kind="stable").tolist()
        else:
            chosen = self.pairs[int(bits[number]) % len(self.pairs)]
        items = [
            load_item(self.parts[part][int(bits[part]) % len(self.parts[part])]) for part in chosen
        ]
        return items, len(items) - 1
