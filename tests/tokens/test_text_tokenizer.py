"""Text to units to tokens and back."""

import sys
import time
import unicodedata

import numpy as np
import pytest

from mdnn.errors import MdnnError
from mdnn.tokens.characters import CODE_POINTS, TextTokenizer
from mdnn.tokens.word_table import letter_runs, word_table

EVERY_PLANE = "".join(chr((plane << 16) + 0x1234) for plane in range(17))
TEXTS = {
    "empty": "",
    "plain": "the cat, and the other cats\r\n\tof the house.\0",
    "planes": EVERY_PLANE + chr(0x10FFFF) + "\x00",
    "lone surrogates": "a\ud800b\udfffc",
    "pair of lone surrogates": "\ud83d\ude00",
    "emoji": "the 👩‍👩‍👧 cat 😀the",
    "numerals among letters": "x²the½the Ⅷthe the_the the1the ٣the",
    "combining": "thé the\u0301 the",
    "marks and scripts": "ﬁnd Straße ΔΩ 猫 一the二",
    "byte order mark": "\ufeffthe",
}
WORDS = ("the", "cat", "Straße", "of", "猫", "一the二")


@pytest.mark.parametrize("words", [(), WORDS], ids=["characters", "words"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_round_trip_is_exact(text, words):
    tokenizer = TextTokenizer(words)
    units = tokenizer.ids(text)
    assert units.dtype == np.int32
    assert units.ndim == 1
    assert tokenizer.text(units) == text
    tokens = tokenizer.tokens(units)
    assert tokens.dtype == np.int32
    assert tokens.shape == (len(units), 8)
    np.testing.assert_array_equal(tokenizer.ids_from_tokens(tokens), units)
    assert tokenizer.lengths(units).sum() == len(text)


def test_every_code_point_makes_the_round_trip():
    tokenizer = TextTokenizer()
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    units = tokenizer.ids(text)
    np.testing.assert_array_equal(units, np.arange(CODE_POINTS))
    tokens = tokenizer.tokens(units)
    assert tokens[:, 1].max() == 16
    assert tokens[:, 2:4].max() == 255
    np.testing.assert_array_equal(tokenizer.ids_from_tokens(tokens), units)
    assert tokenizer.text(units) == text


def test_a_run_of_letters_is_exactly_what_isalpha_says():
    # every code point between two letters, a space before them; planes 4 to 13 are empty
    points = [*range(0x40000), *range(0xE0000, CODE_POINTS)]
    text = "".join(f" a{chr(point)}b" for point in points)
    expected = []
    for number, character in enumerate(map(chr, points)):
        start = 4 * number + 1
        if character.isalpha():
            expected.append((start, f"a{character}b"))
        else:
            expected += [(start, "a"), (start + 2, "b")]
    assert list(letter_runs(text)) == expected
    # and isalpha means Unicode's categories L*
    assert all(
        character.isalpha() == unicodedata.category(character).startswith("L")
        for character in map(chr, range(0, CODE_POINTS, 7))
    )


def test_token_columns():
    tokenizer = TextTokenizer(("ab",))
    tokens = tokenizer.tokens(tokenizer.ids("ab\U0001f600c"), item=5)
    np.testing.assert_array_equal(
        tokens,
        [
            [2, 0, 0, 0, 0, 0, 0, 5],
            [1, 0x01, 0xF6, 0x00, 1, 0, 0, 5],
            [1, 0, 0, 0x63, 2, 0, 0, 5],
        ],
    )


def test_a_words_number_fills_two_bytes():
    letters = "abcdefghijklmnop"
    words = [a + b + c for a in letters for b in letters for c in letters][:700]
    tokenizer = TextTokenizer(words)
    tokens = tokenizer.tokens(tokenizer.ids(words[600]))
    assert tokens[0, :4].tolist() == [2, 600 >> 8, 600 & 255, 0]
    assert tokenizer.text(tokenizer.ids_from_tokens(tokens)) == words[600]


def test_padding_gives_rows_of_zeros_and_comes_back():
    tokenizer = TextTokenizer(("ab",))
    units = np.array([[-1, CODE_POINTS, 99], [98, -1, -1]])
    tokens = tokenizer.tokens(units, item=[[3], [4]], first_place=[7, 0])
    assert tokens.shape == (2, 3, 8)
    assert not tokens[units < 0].any()
    np.testing.assert_array_equal(tokens[..., 4], [[0, 8, 9], [0, 0, 0]])
    np.testing.assert_array_equal(tokens[..., 7], [[0, 3, 3], [4, 0, 0]])
    np.testing.assert_array_equal(tokenizer.ids_from_tokens(tokens), units)
    np.testing.assert_array_equal(tokenizer.lengths(units), [[0, 2, 1], [1, 0, 0]])
    assert tokenizer.text(units) == "abcb"


def test_words_are_whole_runs_only():
    tokenizer = TextTokenizer(("the", "cat"))
    units = tokenizer.ids("the cats, cat the1the")
    the, cat = CODE_POINTS, CODE_POINTS + 1
    spelled = [ord(c) for c in "cats"]
    expected = [the, 32, *spelled, 44, 32, cat, 32, the, 49, the]
    np.testing.assert_array_equal(units, expected)


def test_word_table_ranks_by_number_then_code_points():
    text = "bb aa cc bb aa a a a a dd1dd ²ee"
    assert word_table(text, 4) == ("aa", "bb", "dd", "cc")
    assert word_table(text, 100) == ("aa", "bb", "dd", "cc", "ee")
    assert word_table(text, 0) == ()
    assert word_table("", 5) == ()


def test_letters_of_words():
    tokenizer = TextTokenizer(("猫", "the", "Straße"))
    expected = [[0x732B, -1, -1, -1], [116, 104, 101, -1], [83, 116, 114, 97]]
    letters = tokenizer.letters(4)
    assert letters.dtype == np.int32
    np.testing.assert_array_equal(letters, expected)
    assert TextTokenizer().letters(4).shape == (0, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("the", "a b"), "received 'a b'"),
        (("",), "received ''"),
        (("x²",), "received 'x²'"),
        ((7,), "received 7"),
        (("the", "cat", "the"), "received 'the' twice"),
        (("a",) * 65537, "at most 65536 words; received 65537"),
    ],
)
def test_bad_word_tables(words, message):
    with pytest.raises(MdnnError, match=message):
        TextTokenizer(words)


def test_bad_numbers_and_tokens():
    tokenizer = TextTokenizer(("the",))
    with pytest.raises(MdnnError, match=r"from 0 to 1114112 \(1 words\); received 1114113"):
        tokenizer.text([CODE_POINTS + 1])
    with pytest.raises(MdnnError, match=r"from -1 to 1114112 .*received -2"):
        tokenizer.tokens(np.array([-2]))
    with pytest.raises(MdnnError, match="received 1114113"):
        tokenizer.lengths([CODE_POINTS + 1])
    with pytest.raises(MdnnError, match="received modality 3"):
        tokenizer.ids_from_tokens([[3, 0, 0, 0, 0, 0, 0, 0]])
    with pytest.raises(MdnnError, match="received 1179648"):
        tokenizer.ids_from_tokens([[1, 18, 0, 0, 0, 0, 0, 0]])
    with pytest.raises(MdnnError, match=r"received \(3,\)"):
        tokenizer.ids_from_tokens([1, 2, 3])
    with pytest.raises(MdnnError, match="received the scalar"):
        tokenizer.tokens(5)
    with pytest.raises(MdnnError, match="0 to 65536 words; received 65537"):
        word_table("a", 65537)
    with pytest.raises(MdnnError, match="received 0"):
        tokenizer.letters(0)


def test_a_million_characters_are_quick():
    # measured at 0.3 s; the margin is for a busy machine
    text = "the quick brown fox jumps over the lazy dog, isn't it? " * 18_182
    assert len(text) > 1_000_000
    tokenizer = TextTokenizer(word_table(text[:1000], 5))
    start = time.process_time()
    units = tokenizer.ids(text)
    assert time.process_time() - start < 3
    assert tokenizer.text(units) == text
