"""Stores the values of items in a temporary file; memory holds only the items being read."""

import array
import collections.abc
import contextlib
import tempfile
from dataclasses import dataclass

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import modality

_ALIGNED = 8
"""Bytes of which the places of values are multiples."""


@contextlib.contextmanager
def item_writer(called):
    """A context with an `ItemWriter` for a temporary file, which vanishes with the items.

    The file is in the folder for temporary files (`TMPDIR`).

    Args:
        called: str, the label of all items in error messages.

    Raises:
        MdnnError: a temporary file cannot be made.

    Example:

    >>> with item_writer("pictures") as writer:
    ...     writer.add(Item("grey", np.zeros((2, 2), np.uint8)))
    ...     items = writer.items(lambda number: f"picture {number}")
    """
    try:
        file = tempfile.TemporaryFile(prefix="mdnn-")  # noqa: SIM115
    except OSError as error:
        raise MdnnError(f"{called} cannot be written into a memory map: {error}") from None
    # A map outlives its file, which is deleted when both are closed.
    with file:
        yield ItemWriter(called, file)


class ItemWriter:
    """Writes the values of items into a file, one after another.

    Args:
        called: str, the label of all items in error messages.
        file: Binary file, open for reading and writing.
    """

    def __init__(self, called, file):
        self.called, self.file = called, file
        self.size, self.kinds = 0, []
        # Compact: a Python object for each item would take more than a small picture.
        self.starts, self.stops = array.array("q"), array.array("q")
        self.shapes, self.axes = array.array("i"), array.array("q", [0])
        self.codes, self.rates = array.array("b"), array.array("i")

    def __len__(self):
        return len(self.starts)

    def add(self, item):
        """Writes an `Item`.

        Raises:
            MdnnError: it cannot be written, such as to a full disk.
        """
        text = isinstance(item.value, str)
        data = item.value.encode("utf-8") if text else np.ascontiguousarray(item.value).data
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        try:
            self.file.write(data)
            self.file.write(b"\0" * (-size % _ALIGNED))
        except OSError as error:
            raise MdnnError(
                f"{self.called} cannot be written into a memory map in {tempfile.gettempdir()!r}: "
                f"{error.strerror}"
            ) from None
        if item.kind not in self.kinds:
            self.kinds.append(item.kind)
        self.codes.append(self.kinds.index(item.kind))
        self.rates.append(-1 if item.rate is None else item.rate)
        self.starts.append(self.size)
        self.stops.append(self.size + size)
        self.size += size + -size % _ALIGNED
        self.shapes.extend(() if text else item.value.shape)
        self.axes.append(len(self.shapes))

    def items(self, name_of):
        """Returns the written items as `StoredItems`.

        Args:
            name_of: function of an item's number that returns its name.
        """
        try:
            self.file.flush()
            data = np.memmap(self.file, np.uint8, "r", shape=(self.size,)) if self.size else None
        except OSError as error:
            raise MdnnError(f"{self.called} cannot be mapped: {error.strerror}") from None
        return StoredItems(self, data, name_of)


class StoredItems(collections.abc.Sequence):
    """Items that an `ItemWriter` wrote, made at each access; their arrays are read-only.

    Args:
        writer: `ItemWriter`.
        data: uint8 memory map of its file; `None` if it is empty.
        name_of: function of an item's number that returns its name.
    """

    def __init__(self, writer, data, name_of):
        self.kinds, self.data, self.name_of = tuple(writer.kinds), data, name_of
        self.codes = np.frombuffer(writer.codes, np.int8)
        self.rates, self.shapes = writer.rates, writer.shapes
        self.starts, self.stops, self.axes = writer.starts, writer.stops, writer.axes

    def __len__(self):
        return len(self.starts)

    def kind(self, number):
        """Returns the kind of an item."""
        return self.kinds[self.codes[number]]

    def __getitem__(self, number):
        number = range(len(self))[number]
        kind, rate = self.kind(number), self.rates[number]
        start, stop = self.starts[number], self.stops[number]
        value = np.asarray(self.data[start:stop])
        if kind == "text":
            value = value.tobytes().decode("utf-8")
        else:
            shape = tuple(self.shapes[self.axes[number] : self.axes[number + 1]])
            value = value.view(modality(kind).dtype).reshape(shape)
        return Item(kind, value, None if rate < 0 else rate, self.name_of(number))

    def of_key(self, key):
        """Returns the numbers of the items whose modality has a key (see `ItemModality.key`)."""
        codes = [code for code, kind in enumerate(self.kinds) if modality(kind).key == key]
        return np.flatnonzero(np.isin(self.codes, codes))


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One of `StoredItems`, read at each access.

    Args:
        items: `StoredItems`.
        number: int.
    """

    items: StoredItems
    number: int

    def read(self):
        """Returns the `Item`."""
        return self.items[self.number]

    @property
    def kind(self):
        """The kind of the item."""
        return self.items.kind(self.number)

    @property
    def name(self):
        """The item's name in errors."""
        return self.items.name_of(self.number)

    @property
    def rate(self):
        """Samples per second of a sound, or `None`."""
        return self.read().rate

    @property
    def value(self):
        """The value, a string or an array."""
        return self.read().value
