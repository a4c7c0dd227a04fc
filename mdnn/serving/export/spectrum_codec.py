"""Reads and writes sounds as grids of moments and frequencies inside a TensorFlow graph."""

import numpy as np
import tensorflow as tf

from mdnn.serving.export.graph_codecs import GraphCodec
from mdnn.serving.export.graph_files import wav_samples
from mdnn.tokens.lapped_transform import cosines, window
from mdnn.tokens.spectrum import FULL_SCALE, ZERO

MAX_SAMPLES = 1 << 22
"""Samples that a sound of a prompt may have where the network reads its beginning alone."""


class SpectrumCodec(GraphCodec):
    """WAV of 16-bit PCM as the bytes of a lapped transform (see `mdnn.tokens.spectrum`)."""

    # The bands are the network's.
    size_inputs = ("moments",)
    warmup_sizes = (1,)

    def shape(self, sizes, fixed, count):
        moments = sizes[0] if fixed is None else tf.fill([tf.size(count)], fixed[0])
        bands = tf.zeros_like(moments) + self.spectrum.bands
        return (moments, bands), tf.zeros_like(count, tf.bool)

    def file_tokens(self, data, number):
        bands, moments = self.spectrum.bands, self.spectrum.moments
        most = MAX_SAMPLES if moments else self.positions
        samples = wav_samples(data, number, most, self.rate)
        count = moments * bands if moments else -(-tf.size(samples) // bands) * bands
        values = tf.cast(samples[:count], tf.float64) / FULL_SCALE
        values = tf.pad(values, [[0, count - tf.size(values)]])
        blocks = self._rotated(tf.reshape(values, [-1, bands]), 1)
        grid = tf.reshape(self._companded(tf.matmul(blocks, cosines(bands))), [-1])
        index, zeros = tf.range(tf.size(grid)), tf.zeros_like(grid)
        rows = [zeros + self.form.index, grid, zeros, zeros]
        return tf.stack([*rows, index // bands, index % bands, zeros], axis=1)

    def files(self, tokens, written, shape):
        bands = self.spectrum.bands

        def one(row):
            grid, moments = row
            grid = tf.reshape(grid[: moments * bands], [moments, bands])
            blocks = tf.matmul(self._expanded(grid), cosines(bands))
            samples = tf.round(tf.reshape(self._rotated(blocks, -1), [-1]) * FULL_SCALE)
            samples = tf.clip_by_value(samples, -FULL_SCALE, FULL_SCALE - 1)
            # The encoder takes numbers from -1 to 1; these are exact.
            values = tf.cast(samples / FULL_SCALE, tf.float32)
            return tf.audio.encode_wav(values[:, None], self.rate)

        return tf.map_fn(one, (tokens[..., 1], shape[0]), fn_output_signature=tf.string)

    def example(self):
        return tf.audio.encode_wav([[0.0]], self.rate)

    @property
    def example_tokens(self):
        return (self.spectrum.moments or 1) * self.spectrum.bands

    def _rotated(self, blocks, sign):
        """Rotates the halves of neighboring blocks; see `mdnn.tokens.lapped_transform`."""
        half = self.spectrum.bands // 2
        cosine, sine = window(self.spectrum.bands)
        left, right = blocks[:, :half], blocks[:, half:]
        before, behind = right[:-1, ::-1], left[1:]
        new_left = tf.concat([left[:1], cosine * behind + sign * sine * before], axis=0)
        rotated = cosine * before - sign * sine * behind
        new_right = tf.concat([rotated[:, ::-1], right[-1:]], axis=0)
        return tf.concat([new_left, new_right], axis=1)

    def _companded(self, coefficients):
        spectrum = self.spectrum
        size = tf.minimum(tf.abs(coefficients) / spectrum.loudest, 1.0)
        level = tf.round(
            tf.math.log1p(spectrum.mu * size) / np.log1p(spectrum.mu) * spectrum.levels
        )
        return tf.cast(ZERO + tf.sign(coefficients) * level, tf.int32)

    def _expanded(self, grid):
        spectrum = self.spectrum
        level = tf.cast(grid - ZERO, tf.float64)
        size = tf.minimum(tf.abs(level) / spectrum.levels, 1.0)
        value = tf.math.expm1(size * np.log1p(spectrum.mu)) / spectrum.mu * spectrum.loudest
        return tf.sign(level) * value
