"""Defines the interface of a modality whose tokens form items."""

import functools
import importlib
import types

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.modalities.modality import Modality
from mdnn.tokens.token_rows import check_bytes, new_tokens


class ItemModality(Modality):
    """A modality whose tokens form items, with an array of numbers as the item's value.

    An item with one coordinate has a length that the network may choose; an item with several has
    a shape that is specified.

    Attributes:
        dtype, value_axes: the dtype of the array and the names of its axes, slowest first.
        size_names: names of the sizes in an output specification, such as `("HEIGHT", "WIDTH")`.
        example_shape: Sizes shown in error messages, such as `(8, 8)`.
        key: the key of its files in a manifest and of its input in a SavedModel; modalities that
            share their files share the key. By default the name.
        inline_key: the key of a value written into the manifest itself; `None`: files only.
        list_entries: bool, whether one manifest entry is a list: a film's pictures, or numbers.
        read_suffixes: Ends of the names of files that it reads.
        suffix, mime: End of the name and MIME type of the files that it writes.
        other_encoders: dict from ends of names of further files that it writes to their encoders,
            as `encoder`.
        printable: bool, whether its value is shown as text on a screen.
        least_size: Smallest size in tokens, 0 or 1.
        has_rate: bool, whether its items have the tokenizer's sample rate.
        reader: `"module:function"` of `(path, ReadOptions)` that returns an `Item`.
        encoder: `"module:function"` of `(item, rate)` that returns the bytes of a file.
        augmenter: `"module:function"`, see `augmented`; `None`: items stay as they are.
        served_by: `"module:class"` of a `mdnn.serving.export.graph_codecs.GraphCodec`; `None`: a
            SavedModel has no signature for it.
    """

    dtype = "uint8"
    value_axes = ()
    size_names = ()
    example_shape = (8,)
    inline_key = None
    list_entries = False
    read_suffixes = ()
    suffix = ""
    mime = "application/octet-stream"
    other_encoders = types.MappingProxyType({})
    printable = False
    least_size = 1
    has_rate = False
    reader = None
    encoder = None
    augmenter = None
    served_by = None

    @property
    def kind(self):
        return self.name

    @property
    def key(self):
        return self.name

    @property
    def file_key(self):
        """The key of its files in a manifest."""
        return self.key if self.inline_key is None else f"{self.key}_file"

    @property
    def flat(self):
        """bool, true for items with one coordinate, whose length the network may choose."""
        return len(self.coordinates) == 1

    @property
    def array(self):
        """The form of its values for error messages, such as `uint8 [height, width]`."""
        return f"{self.dtype} [{', '.join(self.value_axes)}]"

    # === Values ===

    def accepts(self, value):
        """Returns whether a value without a kind is an item of this one (see `as_item`)."""
        return self.fits(value)

    def fits(self, value):
        """Returns whether a value has the dtype and the number of axes of this modality."""
        return (
            isinstance(value, np.ndarray)
            and value.dtype == np.dtype(self.dtype)
            and value.ndim == len(self.value_axes)
        )

    def check(self, value, called):
        """Refuses a value that is not one of this modality.

        Args:
            value: Any object.
            called: str, the label in error messages.

        Raises:
            MdnnError: the value has another type, dtype or shape, or is empty.
        """
        shape = list(np.shape(value))
        if not self.fits(value):
            received = getattr(value, "dtype", type(value).__name__)
            raise MdnnError(f"{called}: expected {self.array}, received {received} {shape}")
        if not value.size:
            raise MdnnError(f"{called}: expected at least one value, received {shape}")

    def token_shape(self, value, tokenizer=None):
        """Returns the sizes of a value in tokens, one per coordinate."""
        return tuple(np.shape(value)[: len(self.coordinates)])

    def limited(self, value, count):
        """Returns a value cut to a length of `count`; only texts can be longer."""
        return value

    def check_size(self, shape, tokenizer):
        """Refuses the size of an answer that the network cannot have.

        Args:
            shape: tuple of ints, the sizes in tokens.
            tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.

        Raises:
            MdnnError: the items of this modality have other sizes.
        """

    # === Tokens ===

    def count(self, item, tokenizer):
        """Returns the number of tokens of an item; `tokenizer` is an `ItemTokenizer`."""
        return int(np.prod(self.token_shape(item.value, tokenizer)))

    def tokens(self, item, number, tokenizer):
        """Converts an item to int32 tokens `[n, 8]` in row-major order.

        Args:
            item: `mdnn.tokens.items.Item` of this kind.
            number: int, the column `item`.
            tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.

        Raises:
            MdnnError: the item does not fit the tokenizer.
        """
        raise NotImplementedError

    def value(self, tokens, called, tokenizer):
        """Converts tokens of one item to its value: the inverse of `tokens`.

        Args:
            tokens: ints `[n, 8]`, at least one, all of modalities of this kind.
            called: str, the label in error messages.
            tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.

        Raises:
            MdnnError: the tokens do not form an item.
        """
        raise NotImplementedError

    def new_tokens(self, shape, number=0):
        """Builds tokens with coordinates in row-major order and zero bytes."""
        return new_tokens(self, shape, number)

    def check_bytes(self, tokens, called):
        """Refuses tokens whose bytes are out of range (see `mdnn.tokens.token_rows`)."""
        check_bytes(tokens, self, called)

    # === Files ===

    def inline(self, value, where):
        """Returns the value of a manifest entry under `inline_key`.

        Raises:
            MdnnError: the entry is not such a value; the message begins with `where`.
        """
        raise NotImplementedError

    def read(self, path, options):
        """Reads an item from a file.

        Args:
            path: a path; a tuple of paths where `list_entries` is true.
            options: `ReadOptions`.

        Returns:
            `mdnn.tokens.items.Item`, possibly of another kind with the same `key`.

        Raises:
            MdnnError: the file cannot be read.
        """
        if self.reader is None:
            raise MdnnError(f"{path}: items of the kind {self.name} are not read from files")
        return _resolved(self.reader)(path, options)

    @property
    def write_suffixes(self):
        """Ends of the names of files that it writes, a tuple; the usual one first."""
        return (self.suffix, *self.other_encoders)

    def encode_as(self, suffix, item, rate=None):
        """Returns the bytes of an item's file whose name ends with one of `write_suffixes`.

        Args:
            suffix: str, the end of the file's name, such as `.png`.
            item: `mdnn.tokens.items.Item` of this kind.
            rate: int, samples per second of a sound that has none of its own.
        """
        encoder = self.other_encoders.get(suffix)
        return self.encode(item, rate) if encoder is None else _resolved(encoder)(item, rate)

    def encode(self, item, rate=None):
        """Returns the bytes of an item's file; `rate` is for sounds that have no rate."""
        if self.encoder is None:
            raise MdnnError(f"items of the kind {self.name} are not written to files")
        return _resolved(self.encoder)(item, rate)

    def augmented(self, item, options, bits, longest=None):
        """Returns a random variation of an item.

        Args:
            item: `mdnn.tokens.items.Item` of this kind.
            options: `mdnn.config.data_tables.Augment`.
            bits: uint64 `[mdnn.datasets.items.augment.DRAWS]`, all the randomness that is used.
            longest: int, the most tokens of the result; `None`: no limit.

        Returns:
            An array, or `None` for the item as it is.
        """
        if self.augmenter is None:
            return None
        return _resolved(self.augmenter)(item, options, bits, longest)

    def codec(self, **options):
        """Returns the `GraphCodec` that reads and writes its items inside a graph."""
        return _resolved(self.served_by)(self, **options)


@functools.cache
def _resolved(name):
    """Returns the object of a name `"module:object"`.

    Modalities are defined below the code that reads files, and importing it takes long.
    """
    module, name = name.split(":")
    return getattr(importlib.import_module(module), name)
