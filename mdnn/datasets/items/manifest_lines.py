"""Lines of a manifest: held as text, turned into objects at each access."""

import array
import codecs
import collections.abc

import numpy as np

from mdnn.encoding_guess import likely_encoding
from mdnn.errors import MdnnError

KEPT = 1 << 20
"""Bytes at the beginning of a manifest whose lines are kept as objects."""

LONG = 1 << 12
"""Bytes from which a line is kept as objects wherever it is: making it again takes too long."""


class ManifestLines(collections.abc.Sequence):
    """The lines of a manifest, a sequence of objects made by `parse`.

    Objects take 10 to 20 times the memory of their text. The sequence therefore holds the text and
    the offsets of its lines, and parses a line at each access, but for the first `KEPT` bytes and
    lines of more than `LONG` bytes. All lines are parsed once on construction.

    Args:
        data: Bytes of the manifest.
        parse: function of a line, bytes without its end, and its number from 1; returns an object,
            or `None` for an empty line.
    """

    def __init__(self, data, parse):
        self.data, self.parse = data, parse
        self._kept, start, number = {}, 0, 0
        # An array, not lists: Python's integers take nine times the memory.
        spans = array.array("i")
        while start < len(data):
            stop = data.find(b"\n", start)
            stop, number = len(data) if stop < 0 else stop, number + 1
            line = parse(data[start:stop], number)
            if line is not None:
                if stop <= KEPT or stop - start > LONG:
                    self._kept[len(spans) // 3] = line
                spans.extend((start, stop, number))
            start = stop + 1
        # int32 [lines, 3]: the offsets of lines, and their numbers
        self._spans = np.array(spans, np.int32).reshape(-1, 3)

    def __len__(self):
        return len(self._spans)

    def keeps(self, index):
        """Returns whether the object of a line is kept: the same one at each access."""
        return index in self._kept

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if (line := self._kept.get(index)) is not None:
            return line
        start, stop, number = self._spans[index].tolist()
        return self.parse(self.data[start:stop], number)


def decoded(line, path, number):
    """Returns a line's text without blanks around it, and without a byte order mark.

    Args:
        line: bytes of the line.
        path: the file, for errors.
        number: int, the line's number from 1.

    Raises:
        MdnnError: the line is not UTF-8; names file, line and column.
    """
    if number == 1:
        line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return line.decode("utf-8").strip(" \t\r")
    except UnicodeDecodeError as error:
        likely = likely_encoding(line)
        hint = f"; it seems to be {likely}, expected UTF-8" if likely else ""
        raise MdnnError(
            f"{path}:{number}: not UTF-8 text: byte 0x{line[error.start]:02x} at column "
            f"{error.start + 1}{hint}"
        ) from None
