"""Text and units in a graph against `TextTokenizer`."""

import keras
import numpy as np
import pytest

from mdnn.tokens.characters import CODE_POINTS, TextTokenizer

if keras.backend.backend() != "tensorflow":
    pytest.skip("graphs with strings are TensorFlow's", allow_module_level=True)

import tensorflow as tf

from mdnn.serving.export.graph_text import GraphTokenizer

WORDS = ("the", "The", "x", "é", "ab", "日本", "Å", "ꙮ")
TRICKY = [
    "é²x the",  # a numeral, which is not a letter, between letters
    "the",
    "thethe the  the",
    "xThex",
    "x_x x2x x-x",
    "a\u0000b\u0000\u0000the\u0000",  # NULs
    "\u0000",
    "\ufeffthe\ufeff",  # byte order marks
    "\ufffd the \uffff \ufdd0 \U0010ffff",  # replacement character, noncharacters
    "e\u0301the the\u0301 Å A\u030a",  # combining marks
    "日本語 日本 本日",
    "😀the😀\u200dthe",
    "ⅧtheⅧ ªthe ǅx \u0345x",
    "ab\r\nab\u2028ab\u00adab",
    "the" * 50,
]


@pytest.fixture(params=[(), WORDS], ids=["characters", "words"])
def tokenizers(request):
    return TextTokenizer(request.param), GraphTokenizer(request.param)


def encoded(texts):
    return tf.constant([text.encode("utf-8") for text in texts])


def test_units_of_a_batch(tokenizers):
    plain, graph = tokenizers
    found = graph.tokens(encoded(TRICKY))
    for text, rows in zip(TRICKY, found, strict=True):
        expected = plain.tokens(plain.ids(text))[:, :4]
        np.testing.assert_array_equal(rows.numpy(), expected, err_msg=ascii(text))


def test_text_comes_back(tokenizers):
    plain, graph = tokenizers
    units = graph.tokens(encoded(TRICKY)).to_tensor()
    found = graph.text(units, tf.constant([len(text) for text in TRICKY]))
    assert [text.decode("utf-8") for text in found.numpy()] == TRICKY
    assert graph.lengths(units).dtype == tf.int32
    for number, text in enumerate(TRICKY):
        own = plain.ids(text)
        lengths = graph.lengths(units[number])[: len(own)].numpy()
        np.testing.assert_array_equal(lengths, plain.lengths(own))


def test_text_is_cut_by_characters(tokenizers):
    _, graph = tokenizers
    text = "The 日本 😀 e\u0301 the end"
    for length in range(len(text) + 1):
        found = graph.text(graph.tokens(encoded([text])).to_tensor(), tf.constant([length]))
        assert found.numpy()[0].decode("utf-8") == text[:length]


def test_windows(tokenizers):
    plain, graph = tokenizers
    window, filled = graph.window(encoded(TRICKY), 8)
    assert window.shape == (len(TRICKY), 8, 4)
    assert window.dtype == filled.dtype == tf.int32
    for number, text in enumerate(TRICKY):
        rows = plain.tokens(plain.ids(text)[-8:])[:, :4]
        assert filled[number] == len(rows)
        np.testing.assert_array_equal(window[number, : len(rows)], rows)
        assert not window[number, len(rows) :].numpy().any()


def test_every_code_point(tokenizers):
    plain, graph = tokenizers
    # All but halves of surrogate pairs, which UTF-8 cannot say.
    points = [p for p in range(CODE_POINTS) if not 0xD800 <= p < 0xE000]
    points = points[:: 1 if graph.words is None else 23]
    units = tf.constant(plain.tokens(np.array(points))[None, :, :4])
    text = graph.text(units, tf.constant([len(points)])).numpy()[0].decode("utf-8")
    assert list(map(ord, text)) == points
    if graph.words is None:
        np.testing.assert_array_equal(graph.tokens(encoded([text])).to_tensor(), units)


def test_what_is_not_utf_8(tokenizers):
    _, graph = tokenizers
    for raw in (b"\xff", b"the \xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph.tokens(tf.constant([b"the", raw]))
