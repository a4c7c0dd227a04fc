"""Defines the modalities of films: a token per pixel of each frame, RGB or grey."""

import types

from mdnn.tokens.modalities.picture_modality import PictureModality, PixelModality


class FilmModality(PixelModality):
    """Films: uint8 `[frames, height, width]` or `[frames, height, width, 3]`."""

    _pixel_axes = ("frames", "height", "width")
    size_names = ("FRAMES", "HEIGHT", "WIDTH")
    example_shape = (4, 8, 8)
    key = "video"
    list_entries = True
    read_suffixes = PictureModality.read_suffixes
    other_encoders = types.MappingProxyType({".gif": "mdnn.datasets.media.animated:encode_gif"})
    reader = "mdnn.datasets.media.media_files:read_film_item"

    def accepts(self, value):
        # A grey film has the form of a picture.
        return not self.is_grey and self.fits(value)
