"""A modality of a third party, in this one file: temperatures in steps of half a degree."""

import numpy as np
import tensorflow as tf

from mdnn.errors import MdnnError
from mdnn.serving.export.graph_codecs import GraphCodec
from mdnn.tokens.features import BYTES
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import ItemModality, register_modality

LOWEST, STEP = -20.0, 0.5


class WeatherModality(ItemModality):
    """Readings, float32 `[readings]` in degrees Celsius, from -20 to 43.5."""

    dtype = "float32"
    value_axes = ("readings",)
    size_names = ("READINGS",)
    inline_key = "weather"
    list_entries = True
    read_suffixes = (".csv",)
    suffix = ".csv"
    mime = "text/csv"
    served_by = "weather_modality:WeatherCodec"

    def tokens(self, item, number, tokenizer):
        tokens = self.new_tokens(item.value.shape, number)
        steps = np.rint((item.value - LOWEST) / STEP)
        tokens[:, BYTES][:, 0] = np.clip(steps, 0, self.bytes[0] - 1)
        return tokens

    def value(self, tokens, called, tokenizer):
        self.check_bytes(tokens, called)
        return (LOWEST + STEP * tokens[:, BYTES][:, 0]).astype(self.dtype)

    def inline(self, value, where):
        if not all(isinstance(one, int | float) for one in value):
            raise MdnnError(f"{where}: expected a list of degrees, received {value!r}")
        return np.array(value, self.dtype)

    def read(self, path, options):
        path = path[0] if isinstance(path, tuple) else path
        return Item(self.name, np.loadtxt(path, self.dtype, ndmin=1), name=str(path))

    def encode(self, item, rate=None):
        return "".join(f"{value:.1f}\n" for value in item.value).encode()


class WeatherCodec(GraphCodec):
    """The lines of a CSV file in a graph; the network chooses how many."""

    open_lengths = (True,)

    def shape(self, sizes, fixed, count):
        return (tf.zeros_like(count),), tf.ones_like(count, tf.bool)

    def file_tokens(self, data, number):
        readings = tf.strings.to_number(tf.strings.split(tf.strings.strip(data), "\n"))
        steps = tf.cast(tf.round((readings - LOWEST) / STEP), tf.int32)
        place, zeros = tf.range(tf.size(steps)), tf.zeros_like(steps)
        rows = [zeros + self.form.index, steps, zeros, zeros, place, zeros, zeros]
        return tf.stack(rows, axis=1)

    def files(self, tokens, written, shape):
        readings = tf.strings.as_string(LOWEST + STEP * tf.cast(tokens[..., 1], tf.float32), 1)
        inside = tf.range(self.positions)[None] < written[:, None]
        return tf.strings.reduce_join(tf.where(inside, readings + "\n", ""), axis=1)

    def example(self):
        return tf.constant("1.0\n")


WEATHER = WeatherModality("weather", 11, (128,), ("offset",))


def register():
    """The registry line."""
    return register_modality(WEATHER)
