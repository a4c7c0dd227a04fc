"""Items of every kind as token rows, and back, exactly."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.items import RANKS, Item, as_item
from mdnn.tokens.pixels import KINDS, pixel_tokens, pixels_from_tokens
from mdnn.tokens.samples import sample_tokens, samples_from_tokens
from mdnn.tokens.token_rows import check_bytes, checked_number, new_rows, unit_shape

_INDEX = {row.name: row.index for row in table.MODALITIES}
_NAMES = tuple(row.name for row in table.MODALITIES)

END_ROW = np.zeros(table.WIDTH, dtype=np.int32)
"""int32 `[8]`: the row that follows the last unit of a context's items."""
END_ROW[table.MODALITY] = _INDEX["end"]
END_ROW.flags.writeable = False


class ItemTokenizer:
    """Turns items into token rows and token rows into items.

    The rows of an item are in row-major order. A text's and a sound's places are
    `(offset, 0, 0)`, a picture's `(y, x, 0)`, a film's `(t, y, x)`.

    Args:
        words: Tuple of strings, the word table of `mdnn.tokens.characters.TextTokenizer`.
        rate: Integer, samples per second of every sound.

    Raises:
        MdnnError: If the rate is not a positive integer, or for a bad word table.

    Example:

    >>> tokenizer = ItemTokenizer()
    >>> rows = tokenizer.tokens(Item("grey", np.array([[0, 255]], np.uint8)), number=2)
    >>> rows
    array([[  4,   0,   0,   0,   0,   0,   0,   2],
           [  4, 255,   0,   0,   0,   1,   0,   2]], dtype=int32)
    >>> tokenizer.item(rows).value
    array([[  0, 255]], dtype=uint8)
    """

    def __init__(self, words=(), rate=8000):
        if not isinstance(rate, int | np.integer) or rate < 1:
            raise MdnnError(f"rate: expected samples per second, 1 or more; received {rate!r}")
        self.text = TextTokenizer(words)
        self.rate = int(rate)

    def count(self, item):
        """Returns how many units an item has; no rows are made.

        Args:
            item: An `Item`, or what `mdnn.tokens.items.as_item` takes.
        """
        item = as_item(item)
        if item.kind != "text":
            return item.value.size // (3 if item.kind in ("image", "video") else 1)
        return len(self.text.units(item.value)) if self.text.words else len(item.value)

    def tokens(self, item, number=0):
        """Returns the token rows of an item.

        Args:
            item: An `Item`, or what `mdnn.tokens.items.as_item` takes.
            number: Integer, which item of its context it is: the column `item`.

        Returns:
            int32 `[units, 8]`; an empty text has no rows.

        Raises:
            MdnnError: If a sound's rate is not the tokenizer's
                (`mdnn.datasets.media.media_files.resample` gives it another), or `number` is no
                item's number.
        """
        item = as_item(item)
        if item.kind == "text":
            return self.text.tokens(self.text.units(item.value), item=checked_number(number))
        if item.kind == "audio":
            if item.rate not in (None, self.rate):
                raise MdnnError(
                    f"{item.name or 'a sound'}: expected {self.rate} samples per second, "
                    f"received {item.rate}: resample it first"
                )
            return sample_tokens(item.value, number)
        return pixel_tokens(item.value, item.kind, number)

    def item(self, rows):
        """Returns the item of token rows: the inverse of `tokens`.

        Pictures and films are put together by their rows' places, texts and sounds in the order
        of the rows. No rows at all are the empty text.

        Args:
            rows: Integers `[n, 8]`, the rows of one item.

        Returns:
            An `Item`; a sound has the tokenizer's rate.

        Raises:
            MdnnError: Rows of two items or two kinds, padding, a blank or an end among them, a
                pixel that is missing or there twice, a byte or word out of range.
        """
        rows = _checked_rows(rows)
        if not len(rows):
            return Item("text", "")
        numbers = np.unique(rows[:, table.ITEM])
        if len(numbers) > 1:
            raise MdnnError(f"expected the rows of one item, received the items {_few(numbers)}")
        called = f"item {numbers[0]}"
        kinds = _kinds(rows, called)
        if kinds <= {"text", "word"}:
            return Item("text", self._text(rows, called))
        if len(kinds) > 1:
            listed = ", ".join(sorted(kinds, key=_NAMES.index))
            raise MdnnError(f"{called}: expected units of one kind, received {listed}")
        (kind,) = kinds
        called = f"{called} ({kind})"
        if kind == "audio":
            return Item("audio", samples_from_tokens(rows, called), rate=self.rate)
        if kind in KINDS:
            return Item(kind, pixels_from_tokens(rows, kind, called))
        raise MdnnError(f"{called}: expected units of an item, received {kind}")

    def items(self, rows):
        """Returns the items of a context, in order.

        Args:
            rows: Integers `[positions, 8]`. An item ends where the column `item` changes; padding
                and end are left out. An empty text has no rows and does not come back.

        Returns:
            List of `Item`s.

        Raises:
            MdnnError: A blank, or rows that are no item's (see `item`).
        """
        rows = _checked_rows(rows)
        kind = rows[:, table.MODALITY]
        blank = kind == _INDEX["blank"]
        if blank.any():
            raise MdnnError(
                f"position {np.argmax(blank)} is blank: {blank.sum()} of {len(rows)} positions "
                "are not "
                "answered"
            )
        rows = rows[(kind != _INDEX["padding"]) & (kind != _INDEX["end"])]
        if not len(rows):
            return []
        cuts = np.flatnonzero(np.diff(rows[:, table.ITEM])) + 1
        return [self.item(part) for part in np.split(rows, cuts)]

    def blanks(self, kind, shape, number=0):
        """Returns rows that ask for an item.

        Args:
            kind: String, the item's kind.
            shape: Its sizes in units: `(h, w)` for image and grey, `(n, h, w)` for video and
                grey_video, `(samples,)` for audio, `(characters,)` for text.
            number: Integer, the column `item`.

        Returns:
            int32 `[n, 8]`: rows of the modality `blank`, `byte_1` the index of the wanted
            modality, places as `tokens` gives them.

        Raises:
            MdnnError: An unknown kind, or sizes that are not its own.
        """
        _check_kind(kind)
        rows = new_rows(kind, unit_shape(kind, shape), number)
        rows[:, table.BYTES][:, 0] = _INDEX[kind]
        rows[:, table.MODALITY] = _INDEX["blank"]
        return rows

    def end_blank(self, kind, shape, number=0):
        """Returns the row that follows `blanks`: a blank in whose position the `end` may come.

        Args:
            kind: String, the kind of the item before it.
            shape: That item's sizes, as `blanks` takes them.
            number: Integer, the column `item`.

        Returns:
            int32 `[8]`: a blank at the place that would follow, `(n,)`, `(h, 0)` or
            `(n, 0, 0)`.

        Raises:
            MdnnError: An unknown kind, or sizes that are not its own.
        """
        _check_kind(kind)
        row = np.zeros(table.WIDTH, dtype=np.int32)
        row[table.MODALITY] = _INDEX["blank"]
        row[table.BYTES.start] = _INDEX[kind]
        row[table.PLACES.start] = unit_shape(kind, shape)[0]
        row[table.ITEM] = checked_number(number)
        return row

    def _text(self, rows, called):
        for kind in ("text", "word"):
            check_bytes(rows[rows[:, table.MODALITY] == _INDEX[kind]], kind, called)
        try:
            return self.text.text(self.text.units_from_tokens(rows))
        except MdnnError as error:
            raise MdnnError(f"{called} (text): {error}") from None


def _checked_rows(rows):
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != table.WIDTH or rows.dtype.kind not in "iu":
        raise MdnnError(
            f"expected token rows, integers [n, {table.WIDTH}]; received {rows.dtype} "
            f"{list(rows.shape)}"
        )
    # wide enough for sums of bytes and products of places
    return rows if rows.dtype == np.int32 else rows.astype(np.int64)


def _kinds(rows, called):
    """Returns the names of the modalities in rows, a set."""
    numbers = np.unique(rows[:, table.MODALITY])
    wrong = numbers[(numbers < 0) | (numbers >= len(_NAMES))]
    if len(wrong):
        raise MdnnError(f"{called}: no modality has the index {wrong[0]}")
    return {_NAMES[number] for number in numbers}


def _check_kind(kind):
    known = ("text", *RANKS)
    if kind not in known:
        raise MdnnError(f"unknown kind {kind!r}; known: {', '.join(known)}")


def _few(numbers):
    """Returns the first numbers of an array, spelled."""
    more = ", ..." if len(numbers) > 4 else ""
    return ", ".join(map(str, numbers[:4])) + more
