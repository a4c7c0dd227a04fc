"""Converts items of every kind to tokens and back without loss."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens import features as table
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.items import Item, as_item, check_known
from mdnn.tokens.modalities import MODALITIES, modality, modality_at
from mdnn.tokens.spectrum import Spectrum
from mdnn.tokens.token_rows import checked_number, checked_shape, new_tokens

_PADDING, _MASK, _END = (modality(name).index for name in ("padding", "blank", "end"))

END_ROW = np.zeros(table.NUM_FEATURES, dtype=np.int32)
"""int32 `[8]`: the end token, which follows the last token of a context's items."""
END_ROW[table.MODALITY] = _END
END_ROW.flags.writeable = False


class ItemTokenizer:
    """Converts items to tokens and tokens to items.

    The tokens of an item are in row-major order. Coordinates are `(offset, 0, 0)` in texts and
    sounds, `(y, x, 0)` in pictures, `(moment, band, 0)` in sounds as grids and `(t, y, x)` in
    films.

    Args:
        words: tuple of strings, the word table of `mdnn.tokens.characters.TextTokenizer`.
        rate: int, samples per second of every sound.
        spectrum: `mdnn.tokens.spectrum.Spectrum`, settings of sounds as grids; `None`: the default.

    Raises:
        MdnnError: the rate is not a positive integer, or the word table is invalid.

    Example:

    >>> tokenizer = ItemTokenizer()
    >>> rows = tokenizer.tokens(Item("grey", np.array([[0, 255]], np.uint8)), number=2)
    >>> rows
    array([[  4,   0,   0,   0,   0,   0,   0,   2],
           [  4, 255,   0,   0,   0,   1,   0,   2]], dtype=int32)
    >>> tokenizer.item(rows).value
    array([[  0, 255]], dtype=uint8)
    """

    def __init__(self, words=(), rate=8000, spectrum=None):
        if not isinstance(rate, int | np.integer) or rate < 1:
            raise MdnnError(f"rate: expected samples per second, 1 or more; received {rate!r}")
        self.text = TextTokenizer(words)
        self.rate = int(rate)
        self.spectrum = spectrum or Spectrum()

    def count(self, item):
        """Returns the number of tokens of an item without building them.

        Args:
            item: An `Item`, or a value that `mdnn.tokens.items.as_item` accepts.

        Returns:
            int.
        """
        item = as_item(item)
        return modality(item.kind).count(item, self)

    def tokens(self, item, number=0):
        """Converts an item to tokens.

        Args:
            item: An `Item`, or a value that `mdnn.tokens.items.as_item` accepts.
            number: int, the item's index in its context: the column `item`.

        Returns:
            int32 `[tokens, 8]`; an empty text has no tokens.

        Raises:
            MdnnError: a sound's sample rate differs from the tokenizer's (convert it with
                `mdnn.datasets.media.media_files.resample`), or `number` is out of range.
        """
        item = as_item(item)
        return modality(item.kind).tokens(item, number, self)

    def item(self, rows):
        """Converts tokens to an item: the inverse of `tokens`.

        Pictures and films are assembled by their coordinates, texts and sounds in the order of
        the tokens. An empty array gives the empty text.

        Args:
            rows: ints `[n, 8]`, the tokens of one item.

        Returns:
            An `Item`; a sound has the tokenizer's sample rate.

        Raises:
            MdnnError: the tokens belong to several items or kinds, include padding, mask or end
                tokens, miss or repeat a pixel, or have a byte or word out of range.
        """
        rows = _checked_rows(rows)
        if not len(rows):
            return Item("text", "")
        numbers = np.unique(rows[:, table.ITEM])
        if len(numbers) > 1:
            raise MdnnError(f"expected the tokens of one item, received the items {_few(numbers)}")
        called = f"item {numbers[0]}"
        modalities = _modalities(rows, called)
        kinds = {each.kind for each in modalities}
        if len(kinds) > 1:
            names = ", ".join(each.name for each in modalities)
            raise MdnnError(f"{called}: expected tokens of one kind, received {names}")
        (kind,) = kinds
        called = f"{called} ({kind or modalities[0].name})"
        if kind is None:
            raise MdnnError(f"{called}: expected tokens of an item, received {modalities[0].name}")
        form = modality(kind)
        rate = self.rate if form.has_rate else None
        return Item(kind, form.value(rows, called, self), rate=rate)

    def items(self, rows):
        """Converts the tokens of a context to items, in order.

        Args:
            rows: ints `[positions, 8]`. An item ends where the column `item` changes. Padding
                and end tokens are skipped; an empty text has no tokens and is not returned.

        Returns:
            List of `Item`s.

        Raises:
            MdnnError: a mask token is left, or tokens do not form an item (see `item`).
        """
        rows = _checked_rows(rows)
        kind = rows[:, table.MODALITY]
        masked = kind == _MASK
        if masked.any():
            raise MdnnError(
                f"position {np.argmax(masked)}: expected items, received {masked.sum()} mask "
                f"tokens in {len(rows)} positions"
            )
        rows = rows[(kind != _PADDING) & (kind != _END)]
        if not len(rows):
            return []
        cuts = np.flatnonzero(np.diff(rows[:, table.ITEM])) + 1
        return [self.item(part) for part in np.split(rows, cuts)]

    def masks(self, kind, shape, number=0):
        """Builds the mask tokens of an item to predict.

        Args:
            kind: str, the item's kind.
            shape: tuple, its sizes in tokens: `(h, w)` for image and grey, `(n, h, w)` for video
                and grey_video, `(samples,)` for audio, `(moments, bands)` for spectrum,
                `(characters,)` for text.
            number: int, the column `item`.

        Returns:
            int32 `[n, 8]`: tokens of the modality `blank` with the index of `kind` in `byte_1` and
            the coordinates of the item's tokens.

        Raises:
            MdnnError: the kind is unknown or the sizes do not match it.
        """
        check_known(kind)
        form = modality(kind)
        tokens = new_tokens(form, checked_shape(form, shape), number)
        tokens[:, table.BYTES][:, 0] = form.index
        tokens[:, table.MODALITY] = _MASK
        return tokens

    def end_mask(self, kind, shape, number=0):
        """Builds the mask token after `masks`, where the end token is predicted.

        Args:
            kind: str, the kind of the preceding item.
            shape: tuple, that item's sizes, as for `masks`.
            number: int, the column `item`.

        Returns:
            int32 `[8]`: a mask token at the next coordinate: `(n,)`, `(h, 0)` or `(n, 0, 0)`.

        Raises:
            MdnnError: the kind is unknown or the sizes do not match it.
        """
        check_known(kind)
        form = modality(kind)
        token = np.zeros(table.NUM_FEATURES, dtype=np.int32)
        token[table.MODALITY] = _MASK
        token[table.BYTES.start] = form.index
        token[table.COORDINATES.start] = checked_shape(form, shape)[0]
        token[table.ITEM] = checked_number(number)
        return token


def _checked_rows(rows):
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != table.NUM_FEATURES or rows.dtype.kind not in "iu":
        raise MdnnError(
            f"expected tokens, integers [n, {table.NUM_FEATURES}]; received {rows.dtype} "
            f"{list(rows.shape)}"
        )
    # int64 avoids overflow in sums of bytes and products of coordinates.
    return rows if rows.dtype == np.int32 else rows.astype(np.int64)


def _modalities(rows, called):
    """Returns the modalities of tokens `[n, 8]`, a list in the order of their numbers."""
    numbers = np.unique(rows[:, table.MODALITY]).tolist()
    modalities = [modality_at(number) for number in numbers]
    if None in modalities:
        known = ", ".join(str(n) for n in sorted(each.index for each in MODALITIES.values()))
        wrong = numbers[modalities.index(None)]
        raise MdnnError(f"{called}: expected a modality index of {known}; received {wrong}")
    return modalities


def _few(numbers):
    """Formats the first four numbers of an array for an error message."""
    more = ", ..." if len(numbers) > 4 else ""
    return ", ".join(map(str, numbers[:4])) + more
