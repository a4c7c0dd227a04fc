"""Heads that start from the training text's frequencies."""

import keras
import numpy as np

from mdnn.layers import ModalityHeads
from mdnn.layers.decoding_steps import decoding_steps
from mdnn.tasks.head_init import frequency_biases, init_head_bias, text_tokens
from mdnn.tokens.characters import TextTokenizer


def rows(tokenizer, text):
    return text_tokens(tokenizer.ids(text), tokenizer)


def test_frequencies_of_characters():
    tokenizer = TextTokenizer()
    found = frequency_biases(rows(tokenizer, "aab😀"), decoding_steps(["text"]))
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
    tokenizer = TextTokenizer(("the", "cat"))
    found = frequency_biases(rows(tokenizer, "the cat the"), decoding_steps(["text", "word"]))
    # Two blanks, three words.
    np.testing.assert_allclose(np.exp(found["modality"]), [2.5 / 6, 3.5 / 6], rtol=1e-5)
    odds = np.exp(found["word_byte_2"]) * (3 + 128)
    np.testing.assert_allclose(odds[:3], [2.5, 1.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found["text_byte_3"][32]) * (2 + 128), 2.5, rtol=1e-5)


def test_heads_take_them():
    tokenizer = TextTokenizer()
    heads = ModalityHeads()
    heads.build((None, 4, 6))
    init_head_bias(heads, rows(tokenizer, "abba"))
    scores = heads(np.zeros((1, 4, 6), "float32"))
    expected = np.concatenate(list(frequency_biases(rows(tokenizer, "abba"), heads.steps).values()))
    for row in keras.ops.convert_to_numpy(scores)[0]:
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_frequencies_of_other_modalities():
    """Pixels and an end; padding does not count."""
    units = np.zeros((6, 8), "int32")
    units[1:4, 0] = 4
    units[1:4, 1] = (200, 200, 7)
    units[1:4, 5] = (0, 1, 5)
    units[4, 0] = 9
    steps = decoding_steps(["end", "grey"], places=True, base=4, digits=2)
    found = frequency_biases(units, steps)
    assert list(found) == [step.name for step in steps]
    np.testing.assert_allclose(np.exp(found["modality"]), [1.5 / 5, 3.5 / 5], rtol=1e-5)
    odds = np.exp(found["grey_byte_1"]) * (3 + 128)
    np.testing.assert_allclose(odds[[200, 7, 0]], [2.5, 1.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found["grey_place_2_2"]) * 5, [2.5, 1.5, 0.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found["grey_place_2_1"]) * 5, [1.5, 2.5, 0.5, 0.5], rtol=1e-5)


def test_frequencies_of_code_points():
    tokenizer = TextTokenizer()
    found = frequency_biases(rows(tokenizer, "aab"), decoding_steps(["text"], table="full"))
    odds = np.exp(found["text_byte_1"].astype("float64")) * (3 + 1_114_112 / 2)
    np.testing.assert_allclose(odds[[97, 98, 99]], [2.5, 1.5, 0.5], rtol=1e-4)


def test_bits_have_no_start():
    heads = ModalityHeads(table="bits")
    heads.build((None, 4, 28))
    init_head_bias(heads, rows(TextTokenizer(), "abba"))
    assert heads.weights == []


def test_rows_of_a_long_text_are_spread(monkeypatch):
    monkeypatch.setattr("mdnn.tasks.head_init.COUNTED_TOKENS", 3)
    found = rows(TextTokenizer(), "abcdefghij")
    assert "".join(map(chr, found[:, 3])) == "adgj"
