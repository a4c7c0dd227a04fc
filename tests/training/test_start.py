"""Heads that start from the training text's frequencies."""

import keras
import numpy as np

from mdnn.layers import ModalityHeads
from mdnn.layers.decoding_steps import decoding_steps
from mdnn.tokens.text import TextCodec
from mdnn.training.start import frequency_biases, start_heads, text_rows


def rows(codec, text):
    return text_rows(codec.units(text), codec)


def test_frequencies_of_characters():
    codec = TextCodec()
    found = frequency_biases(rows(codec, "aab😀"), decoding_steps(["text"]))
    assert {name: bias.shape for name, bias in found.items()} == {
        "text_byte_1": (17,),
        "text_byte_2": (256,),
        "text_byte_3": (256,),
    }
    for bias in found.values():
        assert bias.dtype == np.float32
        np.testing.assert_allclose(np.exp(bias).sum(), 1, rtol=1e-5)
    odds = np.exp(found["text_byte_3"]) * (4 + 128)
    np.testing.assert_allclose(odds[[ord("a"), ord("b"), 0x00]], [2.5, 1.5, 1.5], rtol=1e-5)
    odds = np.exp(found["text_byte_1"]) * (4 + 8.5)
    np.testing.assert_allclose(odds[[0, 1, 2]], [3.5, 1.5, 0.5], rtol=1e-5)


def test_frequencies_of_words_and_characters():
    codec = TextCodec(("the", "cat"))
    found = frequency_biases(rows(codec, "the cat the"), decoding_steps(["text", "word"]))
    # Two blanks, three words.
    np.testing.assert_allclose(np.exp(found["modality"]), [2.5 / 6, 3.5 / 6], rtol=1e-5)
    odds = np.exp(found["word_byte_2"]) * (3 + 128)
    np.testing.assert_allclose(odds[:3], [2.5, 1.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found["text_byte_3"][32]) * (2 + 128), 2.5, rtol=1e-5)


def test_heads_take_them():
    codec = TextCodec()
    heads = ModalityHeads()
    heads.build((None, 4, 6))
    start_heads(heads, rows(codec, "abba"))
    scores = heads(np.zeros((1, 4, 6), "float32"))
    expected = np.concatenate(list(frequency_biases(rows(codec, "abba"), heads.steps).values()))
    for row in keras.ops.convert_to_numpy(scores)[0]:
        np.testing.assert_allclose(row, expected, rtol=1e-6)
