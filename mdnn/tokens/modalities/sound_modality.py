"""Defines the modality of sounds: a token per 16-bit sample, its high and its low byte."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.tokens.features import BYTES
from mdnn.tokens.modalities.item_modality import ItemModality

ZERO = 32768
"""Offset from int16 samples to unsigned 16-bit values; silence is 32,768."""

COMPRESSED_SOUNDS = (
    *(".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".au", ".caf"),
)
"""Ends of the names of sound files that are read through the package soundfile."""


class SoundModality(ItemModality):
    """Sounds: int16 `[samples]`.

    Example:

    >>> tokenizer.tokens(Item("audio", np.array([0, -1], np.int16)))[:, :3]
    array([[  7, 128,   0],
           [  7, 127, 255]], dtype=int32)
    """

    whole_values = 65_536
    # The low byte jumps from 255 to 0 when the sample grows by one: its table starts small.
    ordered_rms = (0.05, 0.005)
    dtype = "int16"
    value_axes = ("samples",)
    size_names = ("SAMPLES",)
    key = "audio"
    read_suffixes = (".wav", *COMPRESSED_SOUNDS)
    suffix = ".wav"
    mime = "audio/wav"
    has_rate = True
    reader = "mdnn.datasets.media.media_files:read_sound_item"
    encoder = "mdnn.datasets.media.sound_files:encode_wav"
    augmenter = "mdnn.datasets.items.augment:change_sound"
    served_by = "mdnn.serving.export.graph_codecs:SoundCodec"

    def check_rate(self, item, tokenizer):
        """Refuses a sound at another rate than the tokenizer's.

        Raises:
            MdnnError: the message names the sound and both rates.
        """
        if item.rate not in (None, tokenizer.rate):
            raise MdnnError(
                f"{item.name or 'a sound'}: expected {tokenizer.rate} samples per second, "
                f"received {item.rate}: resample it first"
            )

    def tokens(self, item, number, tokenizer):
        self.check_rate(item, tokenizer)
        tokens = self.new_tokens(item.value.shape, number)
        unsigned = item.value.astype(np.int32) + ZERO
        tokens[:, BYTES][:, 0] = unsigned >> 8
        tokens[:, BYTES][:, 1] = unsigned & 255
        return tokens

    def value(self, tokens, called, tokenizer):
        # In the order of the tokens.
        self.check_bytes(tokens, called)
        high, low = tokens[:, BYTES][:, :2].T
        return ((high << 8) + low - ZERO).astype(np.int16)
