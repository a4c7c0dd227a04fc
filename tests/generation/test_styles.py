"""Styles and what is set alone; the words that say what comes back."""

import pytest

from mdnn.errors import MdnnError
from mdnn.generation.styles import STYLES, Settings, settings
from mdnn.generation.wants import Want, parse_want

KINDS = ("text", "word", "grey", "audio", "video")


def test_what_is_set_alone_wins():
    assert settings() == Settings(0.8, 0, 1.0, 16)
    assert settings("factual") == Settings(0.0, 0, 1.0, 16)
    assert settings("creative") == Settings(1.0, 0, 0.95, 16)
    assert settings("reasoning", trained=3) == Settings(0.0, 0, 1.0, 64, 6)
    # A network that is not refed in training has not learnt it.
    assert settings("reasoning", trained=1).refeeds is None
    assert settings(refeeds=2).refeeds == 2
    assert settings(refeeds=3, trained=3).refeeds is None
    chosen = settings("creative", temperature=0.5, top_k=3, top_p=1.0, passes=2, refeeds=5)
    assert chosen == Settings(0.5, 3, 1.0, 2, 5)
    assert set(STYLES) == {"factual", "creative", "reasoning"}


def test_the_cheapest_sampler():
    assert settings("factual", top_k=3).sampler == "greedy"
    assert settings().sampler == "plain"
    assert settings(top_k=3).sampler == settings(top_p=0.5).sampler == "filtered"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"style": "creativ"},
            "style: unknown 'creativ' (did you mean 'creative'?); known: factual,",
        ),
        ({"style": 3}, "style: unknown 3; known: factual, creative, reasoning"),
        ({"refeeds": 0}, "refeeds: expected a whole number from 1 to 1000, received 0"),
        ({"refeeds": True}, "refeeds: expected"),
        ({"passes": 0}, "passes: expected a whole number from 1 on, received 0"),
        ({"passes": 1.5}, "passes: expected"),
        ({"top_p": 0}, "top_p: expected"),
    ],
)
def test_bad_settings(given, message):
    with pytest.raises(MdnnError) as error:
        settings(**given)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "want", "units"),
    [
        ("text 5", Want("text", (5,)), 5),
        ("audio 800", Want("audio", (800,)), 800),
        ("grey 8x9", Want("grey", (8, 9)), 72),
        (" video  4x8x2 ", Want("video", (4, 8, 2)), 64),
    ],
)
def test_words_for_what_is_wanted(word, want, units):
    assert parse_want(word, KINDS) == want
    assert want.units == units
    assert parse_want(want.kind, KINDS) == Want(want.kind)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", 'want: expected a word such as "text" or "grey 8x8", received \'\''),
        (None, "want: expected a word"),
        ("gray", "want: unknown 'gray'"),
        ("word", "want: unknown 'word'"),
        ("image 8x8", "want: 'image 8x8': this network knows text, grey, audio, video, not image"),
        ("grey 8", "want: expected 'grey HEIGHTxWIDTH', received 'grey 8'"),
        ("grey 0x8", "want: expected 'grey"),
        ("grey 8x8x8", "want: expected 'grey"),
        ("text -1", "want: expected 'text CHARACTERS'"),
        ("text 5 6", "want: expected 'text CHARACTERS'"),
        ("audio 99999999999", "want: expected 'audio SAMPLES'"),
        ("grey 99999x99999", "want: expected 'grey"),
    ],
)
def test_bad_words(word, message):
    with pytest.raises(MdnnError) as error:
        parse_want(word, KINDS)
    assert str(error.value).startswith(message)
