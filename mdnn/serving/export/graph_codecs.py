"""Reads and writes items inside a TensorFlow graph, one codec per kind of file.

A modality names its codec in `served_by`; a SavedModel then has an input for its files and a
signature that answers with them.
"""

import math

import tensorflow as tf

from mdnn.serving.export.graph_files import png, png_rows, wav, wav_rows
from mdnn.tokens.features import NUM_FEATURES
from mdnn.tokens.modalities import modality


class GraphCodec:
    """Converts files of one modality to tokens and back.

    Args:
        form: `mdnn.tokens.modalities.ItemModality`.
        kinds: names of the kinds of items of the network.
        text: `mdnn.serving.export.graph_text.GraphTokenizer`.
        positions: int, positions of a context.
        rate: int, samples per second of sounds.
        spectrum: `mdnn.tokens.spectrum.Spectrum`, how sounds become grids.

    Attributes:
        open_lengths: class attribute, tuple of the forms of requests: true for an answer whose
            length the network chooses, false for one of a given size.
        size_inputs: class attribute, names of the signature's inputs that hold the size.
        least_size: class attribute, smallest value of these inputs.
        warmup_sizes: class attribute, their values in warm-up requests.
    """

    open_lengths = (False,)
    size_inputs = ()
    least_size = 1
    warmup_sizes = ()

    def __init__(self, form, kinds, text, positions, rate, spectrum=None):
        self.form, self.text, self.positions, self.rate = form, text, positions, rate
        self.spectrum = spectrum
        self.known = ", ".join(kinds)
        names = [kind for kind in kinds if modality(kind).key == form.key]
        self.indices = {name: modality(name).index for name in names}

    def shape(self, sizes, fixed, count):
        """Returns the sizes of answers and which of them end where the network says.

        Args:
            sizes: list of int32 `[batch]`, the values of `size_inputs`.
            fixed: tuple of ints, the shape of all training items; `None`: they differ.
            count: int32 `[batch]`, for the shape of the results.

        Returns:
            A tuple of int32 `[batch]`, one per coordinate, and bool `[batch]`.
        """
        if fixed is not None:
            sizes = [tf.fill([tf.size(count)], size) for size in fixed]
        return tuple(sizes), tf.zeros_like(count, tf.bool)

    def tokens(self, data):
        """Converts the files of prompts to tokens without item numbers.

        Args:
            data: string `[batch]`; an empty one is not an item.

        Returns:
            Ragged int32 `[batch, (tokens), 7]`.
        """
        nothing = tf.zeros([0, NUM_FEATURES - 1], tf.int32)

        def one(row):
            return tf.cond(row[1] == "", lambda: nothing, lambda: self.file_tokens(row[1], row[0]))

        # One more that is empty: of no prompts at all `map_fn` makes no ragged rows.
        data = tf.concat([data, [""]], axis=0)
        spec = tf.RaggedTensorSpec([None, NUM_FEATURES - 1], tf.int32, ragged_rank=0)
        return tf.map_fn(one, (tf.range(tf.size(data)), data), fn_output_signature=spec)[:-1]

    def file_tokens(self, data, number):
        """Converts one file to tokens.

        Args:
            data: str, the bytes of the file.
            number: int32, the prompt's index, for errors.

        Returns:
            int32 `[tokens, 7]`: modality, bytes, coordinates.
        """
        raise NotImplementedError

    def files(self, tokens, written, shape):
        """Converts tokens to files.

        Args:
            tokens: int32 `[batch, positions, 4]`, modality and bytes.
            written: int32 `[batch]`, number of tokens of each item.
            shape: tuple of int32 `[batch]`, as returned by `shape`.

        Returns:
            string `[batch]`.
        """
        raise NotImplementedError

    def example(self):
        """Returns a small file for warm-up requests, a string."""
        raise NotImplementedError

    @property
    def example_tokens(self):
        """Number of tokens of `example`."""
        return 1


class TextCodec(GraphCodec):
    """UTF-8; the network chooses the length."""

    open_lengths = (True,)

    def shape(self, sizes, fixed, count):
        return (tf.zeros_like(count),), tf.ones_like(count, tf.bool)

    def tokens(self, data):
        tokens = self.text.tokens(data)
        offset = tf.ragged.range(tf.cast(tokens.row_lengths(), tf.int32)).values
        coordinates = tf.stack([offset, offset * 0, offset * 0], axis=1)
        return tokens.with_values(tf.concat([tokens.values, coordinates], axis=1))

    def files(self, tokens, written, shape):
        inside = tf.range(self.positions)[None] < written[:, None]
        letters = tf.where(inside, self.text.lengths(tokens), 0)
        return self.text.text(tokens, tf.reduce_sum(letters, axis=1))

    def example(self):
        return tf.constant(b"a")


class PictureCodec(GraphCodec):
    """8-bit PNG, RGB or grey."""

    size_inputs = ("height", "width")
    warmup_sizes = (1, 1)

    def file_tokens(self, data, number):
        return png_rows(data, number, self.positions, self.indices, self.known)

    def files(self, tokens, written, shape):
        return png(tokens, *shape, len(self.form.bytes))

    def example(self):
        grey = any(modality(name).is_grey for name in self.indices)
        return tf.io.encode_png(tf.constant([[[0] if grey else [0, 0, 0]]], tf.uint8))


class SoundCodec(GraphCodec):
    """WAV of 16-bit PCM; 0 samples: the network chooses the length."""

    open_lengths = (True, False)
    size_inputs = ("samples",)
    least_size = 0
    warmup_sizes = (0,)

    def shape(self, sizes, fixed, count):
        return tuple(sizes), sizes[0] == 0

    def file_tokens(self, data, number):
        return wav_rows(data, number, self.positions, self.form.index, self.rate)

    def files(self, tokens, written, shape):
        return wav(tokens, written, self.rate)

    def example(self):
        return tf.audio.encode_wav([[0.0]], self.rate)


def size_inputs(codec, fixed):
    """Returns the names of the inputs for the size of an answer.

    Args:
        codec: `GraphCodec`.
        fixed: the shape of all training items of the kind; `None`: they differ.
    """
    return codec.size_inputs if fixed is None else ()


def largest(shape, positions):
    """Returns the number of tokens of answers, int32 `[batch]`, at most `positions` + 1."""
    # No product beyond 32 bits: sizes above the positions do not fit anyway.
    wide = [tf.cast(tf.minimum(size, positions + 1), tf.int64) for size in shape]
    return tf.cast(tf.minimum(math.prod(wide), positions + 1), tf.int32)
