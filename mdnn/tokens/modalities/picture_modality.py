"""Defines the modalities of pictures: a token per pixel, RGB or grey."""

import numpy as np

from mdnn.tokens.features import BYTES
from mdnn.tokens.modalities.item_modality import ItemModality
from mdnn.tokens.token_rows import arrangement


class PixelModality(ItemModality):
    """Base of pictures and films: one token per pixel, with one byte (grey) or three (RGB)."""

    mime = "image/png"
    suffix = ".png"
    encoder = "mdnn.datasets.media.png_files:encode_png"
    augmenter = "mdnn.datasets.items.augment:shift_pixels"

    @property
    def is_grey(self):
        """bool, true for one byte per pixel."""
        return len(self.bytes) == 1

    @property
    def ordered_rms(self):
        return (0.05,) * len(self.bytes)

    @property
    def value_axes(self):
        return self._pixel_axes if self.is_grey else (*self._pixel_axes, "3")

    def fits(self, value):
        return super().fits(value) and (self.is_grey or value.shape[-1] == 3)

    def tokens(self, item, number, tokenizer):
        channels = len(self.bytes)
        tokens = self.new_tokens(self.token_shape(item.value, tokenizer), number)
        tokens[:, BYTES][:, :channels] = item.value.reshape(-1, channels)
        return tokens

    def value(self, tokens, called, tokenizer):
        self.check_bytes(tokens, called)
        # By the coordinates: the tokens may have any order.
        order, shape = arrangement(tokens, self, called)
        values = tokens[:, BYTES][order, : len(self.bytes)].astype(np.uint8)
        return values.reshape(shape if self.is_grey else (*shape, 3))


class PictureModality(PixelModality):
    """Pictures: uint8 `[height, width]` or `[height, width, 3]`.

    Example:

    >>> tokenizer.tokens(Item("grey", np.array([[7, 8]], np.uint8)))[:, [0, 1, 4, 5]]
    array([[4, 7, 0, 0],
           [4, 8, 0, 1]], dtype=int32)
    """

    _pixel_axes = ("height", "width")
    size_names = ("HEIGHT", "WIDTH")
    example_shape = (8, 8)
    key = "image"
    read_suffixes = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
    reader = "mdnn.datasets.media.media_files:read_picture_item"
    served_by = "mdnn.serving.export.graph_codecs:PictureCodec"
