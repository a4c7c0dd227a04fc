"""ModalityEmbedding against sums of table rows in numpy."""

import numpy as np
import pytest
from backends import to_numpy, values
from layer_gradients import output_and_gradients

from mdnn.errors import MdnnError
from mdnn.layers import ModalityEmbedding
from mdnn.tokens import TextTokenizer

WORDS = ("the", "naïve", "日本", "a")
LETTERS = TextTokenizer(WORDS).letters(4).tolist()

# One unit per plane that Unicode fills, its ends, and what lies between.
TEXT = "a é\x00日𝄞\U0010ffff~"


def make(width=3, shape=(None, 5, 8), **kwargs):
    """A built layer with weights far from zero, and its tables by name."""
    layer = ModalityEmbedding(width, **kwargs)
    layer.build(shape)
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer, {weight.name: to_numpy(weight) for weight in layer.weights}


def codepoint(tables, point):
    """The sum of a code point's three rows."""
    point = ord(point)
    return (
        tables["text_byte_1"][point // 65536]
        + tables["text_byte_2"][point // 256 % 256]
        + tables["text_byte_3"][point % 256]
    )


def test_text_is_the_sum_of_three_rows():
    layer, tables = make()
    assert {name: table.shape for name, table in tables.items()} == {
        "text_byte_1": (17, 3),
        "text_byte_2": (256, 3),
        "text_byte_3": (256, 3),
    }
    tokens = TextTokenizer().tokens(TextTokenizer().ids(TEXT))[None]
    expected = [codepoint(tables, point) for point in TEXT]
    np.testing.assert_allclose(values(layer, tokens)[0], expected, rtol=1e-5)


def test_full_table_has_a_row_per_code_point():
    layer, tables = make(width=2, table="full")
    assert {name: table.shape for name, table in tables.items()} == {"text_byte_1": (1_114_112, 2)}
    tokens = TextTokenizer().tokens(TextTokenizer().ids(TEXT))[None]
    expected = [tables["text_byte_1"][ord(point)] for point in TEXT]
    np.testing.assert_allclose(values(layer, tokens)[0], expected, rtol=1e-5)


def test_padding_is_zero():
    layer, _ = make(modalities=("text", "word"), letters=LETTERS, places=True, items=True)
    tokens = np.zeros((1, 5, 8), "int32")
    # Whatever else its row says.
    tokens[0, 1, 1:] = 7
    assert (values(layer, tokens) == 0).all()


@pytest.mark.parametrize(
    ("place", "base", "digits", "rows"),
    [
        (0, 32, 6, (0, 0, 0, 0, 0, 0)),
        (31, 32, 6, (31, 0, 0, 0, 0, 0)),
        (32, 32, 6, (0, 1, 0, 0, 0, 0)),
        (10**9, 32, 6, (0, 16, 18, 21, 25, 29)),
        (2**30 - 1, 32, 6, (31, 31, 31, 31, 31, 31)),
        # the largest 32-bit number, in more digits than it has
        (2**31 - 1, 32, 8, (31, 31, 31, 31, 31, 31, 1, 0)),
        (2**31 - 1, 1024, 4, (1023, 1023, 1023, 1)),
        (5, 2, 32, (1, 0, 1) + (0,) * 29),
        (1234, 10, 3, (4, 3, 2)),
    ],
)
def test_places_are_digits(place, base, digits, rows):
    layer, tables = make(places=True, base=base, digits=digits)
    assert tables["text_place_1"].shape == (base * digits, 3)
    tokens = TextTokenizer().tokens(np.array([[97]]), first_place=[place])
    assert tokens[0, 0, 4] == place
    places = sum(tables["text_place_1"][d * base + row] for d, row in enumerate(rows))
    np.testing.assert_allclose(
        values(layer, tokens)[0, 0], codepoint(tables, "a") + places, rtol=1e-4, atol=1e-5
    )


def test_items_are_digits():
    layer, tables = make(items=True, base=10, digits=2)
    tokens = TextTokenizer().tokens(np.array([[97, 97]]), item=[[7, 42]])
    for position, (low, high) in enumerate(((7, 0), (2, 4))):
        expected = codepoint(tables, "a") + tables["item"][low] + tables["item"][10 + high]
        np.testing.assert_allclose(values(layer, tokens)[0, position], expected, rtol=1e-4)


def test_words_have_a_row_and_their_letters():
    layer, tables = make(modalities=("text", "word"), letters=LETTERS, places=True, digits=1)
    tokenizer = TextTokenizer(WORDS)
    tokens = tokenizer.tokens(tokenizer.ids("the naïve!日本 a"))[None]
    expected = []
    for place, piece in enumerate(("the", " ", "naïve", "!", "日本", " ", "a")):
        if piece in WORDS:
            vector = tables["word_byte_1"][WORDS.index(piece)] + tables["word_place_1"][place]
            for position, letter in enumerate(piece[:4]):
                row = ord(letter)
                vector = vector + tables["letter_byte_1"][row // 65536]
                vector = vector + tables["letter_byte_2"][row // 256 % 256]
                vector = vector + tables["letter_byte_3"][row % 256]
                vector = vector + tables["letter_place"][position]
        else:
            vector = codepoint(tables, piece) + tables["text_place_1"][place]
        expected.append(vector)
    np.testing.assert_allclose(values(layer, tokens)[0], expected, rtol=1e-4, atol=1e-5)


def test_modalities_of_others_are_zero():
    """A word's bytes name no rows of a layer for text alone."""
    layer, _ = make()
    tokens = TextTokenizer(WORDS).tokens(np.array([[1_114_112]]))
    assert (values(layer, tokens) == 0).all()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"places": True, "items": True},
        {"table": "full", "width": 2},
        {"modalities": ("text", "word"), "letters": LETTERS, "places": True},
    ],
    ids=["places and items", "full", "words"],
)
def test_a_gradient_reaches_every_table(kwargs):
    layer, tables = make(**kwargs)
    tokenizer = TextTokenizer(WORDS if "letters" in kwargs else ())
    units = tokenizer.ids("the é 日本 é")
    tokens = tokenizer.tokens(units, item=3)[None].astype("float32")
    weights = np.random.default_rng(1).normal(size=(1, len(units), layer.width))
    _, _, gradients = output_and_gradients(layer, tokens, weights.astype("float32"))
    assert len(gradients) == len(tables)
    for (name, table), gradient in zip(tables.items(), gradients, strict=True):
        assert gradient.shape == table.shape
        rows = (gradient != 0).any(axis=-1)
        assert 0 < rows.sum() <= len(units) + layer.digits, name
    # Each occurrence of a unit adds to its row.
    by_name = dict(zip(tables, gradients, strict=True))
    if layer.table == "full":
        row, table = ord("é"), by_name["text_byte_1"]
    else:
        row, table = ord("é") % 256, by_name["text_byte_3"]
    np.testing.assert_allclose(table[row], weights[0, units == ord("é")].sum(axis=0), rtol=1e-4)


def test_tables_start_different():
    for initializer in (
        None,
        "random_normal",
        {"class_name": "RandomNormal", "config": {"seed": 3}},
    ):
        layer = ModalityEmbedding(
            2, places=True, base=128, digits=2, embeddings_initializer=initializer
        )
        layer.build((None, 5, 8))
        tables = [to_numpy(weight) for weight in layer.weights if weight.shape[0] == 256]
        assert len(tables) == 3
        for k in (1, 2):
            assert abs(tables[k] - tables[k - 1]).max() > 0.01


@pytest.mark.parametrize(
    ("kwargs", "shape", "message"),
    [
        (
            {"modalities": ("txt",)},
            None,
            "unknown modality 'txt' .did you mean 'text'..; known: padding, text, word",
        ),
        (
            {"modalities": ("padding", "text")},
            None,
            "modalities: expected distinct names, no padding",
        ),
        ({"modalities": ("text", "text")}, None, "modalities: expected distinct names, no padding"),
        ({"modalities": ()}, None, "modalities: expected distinct names, no padding"),
        ({"table": "half"}, None, "table: expected 'bytes', 'full' or 'bits', received 'half'"),
        ({"modalities": ("text", "word")}, None, "if and only if the modality 'word'"),
        ({"letters": LETTERS}, None, "if and only if the modality 'word'"),
        (
            {},
            (None, 5, 4),
            r"expected tokens \[batch, positions, 8\], received shape \(None, 5, 4\)",
        ),
    ],
)
def test_errors(kwargs, shape, message):
    with pytest.raises((ValueError, MdnnError), match=message):
        make(shape=shape or (None, 5, 8), **kwargs)
