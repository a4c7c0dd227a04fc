"""Sounds as grids in a graph: the same tokens and the same WAV files as outside."""

import keras
import numpy as np
import pytest

from mdnn.datasets.media.media_files import item_bytes, read_sound
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import modality
from mdnn.tokens.spectrum import Spectrum

if keras.backend.backend() != "tensorflow":
    pytest.skip("graphs with strings are TensorFlow's", allow_module_level=True)

import tensorflow as tf

RATE = 2000
rng = np.random.default_rng(5)


@pytest.mark.parametrize("moments", [0, 4])
def test_a_graph_reads_and_writes_as_the_tokenizer(moments):
    spectrum = Spectrum(bands=8, moments=moments, levels=31)
    tokenizer = ItemTokenizer(rate=RATE, spectrum=spectrum)
    codec = modality("spectrum").codec(
        kinds=("text", "spectrum"), text=None, positions=64, rate=RATE, spectrum=spectrum
    )
    read = tf.function(codec.tokens, input_signature=[tf.TensorSpec([None], tf.string)])
    sounds = [rng.integers(-32768, 32768, n).astype("int16") for n in (1, 30, 32, 41)]
    items = [Item("spectrum", samples, RATE) for samples in sounds]
    found = read(tf.constant([item_bytes(item)[0] for item in items] + [b""]))
    expected = [tokenizer.tokens(item)[:, :7] for item in items] + [np.zeros((0, 7), "int32")]
    for tokens, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(tokens, right)
    rows = 4
    tokens = np.zeros((2, 40, 4), "int32")
    tokens[:, : rows * 8, 1] = rng.integers(0, 256, (2, rows * 8))
    sizes = [tf.constant([rows, rows])]
    shape, is_open = codec.shape(sizes, (rows, 8) if moments else None, tf.constant([32, 32]))
    files = codec.files(tf.constant(tokens), tf.constant([32, 32]), shape).numpy()
    assert not is_open.numpy().any()
    for data, grid in zip(files, tokens[:, : rows * 8, 1], strict=True):
        written = read_sound(data, name="a.wav")
        assert written.rate == RATE
        np.testing.assert_array_equal(written.value, spectrum.decode(grid.reshape(rows, 8)))


def test_what_is_refused():
    options = {"kinds": ("spectrum",), "text": None, "positions": 64, "rate": RATE}
    codec = modality("spectrum").codec(spectrum=Spectrum(bands=8, moments=0), **options)
    long = item_bytes(Item("audio", np.zeros(65, "int16"), RATE))[0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="65 samples, this network takes 64"):
        codec.tokens(tf.constant([long]))
    other = item_bytes(Item("audio", np.zeros(9, "int16"), 8000))[0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected 2000 samples per second"):
        codec.tokens(tf.constant([other]))
