"""Defines the modality of sounds as grids: a token per moment and frequency, one byte each."""

from mdnn.errors import MdnnError
from mdnn.tokens.features import BYTES
from mdnn.tokens.modalities.sound_modality import SoundModality
from mdnn.tokens.spectrum import Spectrum
from mdnn.tokens.token_rows import arrangement


class SpectrumModality(SoundModality):
    """Sounds, int16 `[samples]`, as the coefficients of a lapped transform.

    Rows are moments, columns are frequencies from low to high; `tokens.spectrum` of the config
    says how many (see `mdnn.tokens.spectrum.Spectrum`). Its files are those of `audio`.

    Example:

    >>> tokenizer = ItemTokenizer(rate=2000, spectrum=Spectrum(bands=2, moments=2))
    >>> tokenizer.tokens(Item("spectrum", np.zeros(3, np.int16)))[:, [0, 1, 4, 5]]
    array([[ 14, 128,   0,   0],
           [ 14, 128,   0,   1],
           [ 14, 128,   1,   0],
           [ 14, 128,   1,   1]], dtype=int32)
    """

    whole_values = None
    ordered_rms = (0.05,)
    size_names = ("MOMENTS", "BANDS")
    example_shape = (32, 32)
    served_by = "mdnn.serving.export.spectrum_codec:SpectrumCodec"

    def accepts(self, value):
        # An array of samples is a sound; a network that has grids alone makes one of it.
        return False

    def check_config(self, tokens):
        names = tokens.modalities
        if self.name not in names:
            if tokens.spectrum != Spectrum():
                raise MdnnError(
                    f"tokens.spectrum: expected {self.name!r} in tokens.modalities, received "
                    f"{list(names)}"
                )
            return
        if SoundModality.key in names:
            raise MdnnError(
                f"tokens.modalities: 'audio' and {self.name!r} are two forms of sounds, expected "
                f"one; received {list(names)}"
            )
        tokens.spectrum.check()

    def check_size(self, shape, tokenizer):
        if shape[1] != tokenizer.spectrum.bands:
            raise MdnnError(
                f"output: expected '{self.name} {self.size_names[0]}x{tokenizer.spectrum.bands}', "
                f"the network's bands; received {'x'.join(map(str, shape))}"
            )

    def token_shape(self, value, tokenizer=None):
        return (tokenizer.spectrum.rows(len(value)), tokenizer.spectrum.bands)

    def tokens(self, item, number, tokenizer):
        self.check_rate(item, tokenizer)
        tokens = self.new_tokens(self.token_shape(item.value, tokenizer), number)
        tokens[:, BYTES][:, 0] = tokenizer.spectrum.encode(item.value).ravel()
        return tokens

    def value(self, tokens, called, tokenizer):
        self.check_bytes(tokens, called)
        order, shape = arrangement(tokens, self, called)
        bands = tokenizer.spectrum.bands
        if shape[1] != bands:
            raise MdnnError(f"{called}: expected {bands} bands, received {shape[1]}")
        return tokenizer.spectrum.decode(tokens[:, BYTES][order, 0].reshape(shape))
