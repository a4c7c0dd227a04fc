"""A source made ready for training."""

import numpy as np
import pytest

from mdnn.data.corpus import open_data
from mdnn.errors import MdnnError
from mdnn.tokens.text import TextCodec


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the cat and the dog. " * 9 + "new words at the end, ")
    return path


def test_characters(source):
    text = source.read_text()
    corpus = open_data(source)
    assert corpus.source == str(source)
    assert corpus.characters == len(text)
    assert corpus.codec.words == ()
    assert len(corpus.train) == int(len(text) * 0.9)
    assert corpus.codec.text(np.concatenate([corpus.train, corpus.validation])) == text


def test_words_come_from_the_training_part_and_leave_the_cut(source):
    plain, worded = open_data(source), open_data(source, words=100)
    assert set(worded.codec.words) == {"the", "cat", "and", "dog"}
    for part in ("train", "validation"):
        a, b = getattr(plain, part), getattr(worded, part)
        assert plain.codec.text(a) == worded.codec.text(b)
    assert len(worded.train) < len(plain.train)


def test_a_given_codec_is_used(source):
    codec = TextCodec(("dog",))
    assert open_data(source, codec=codec, words=50).codec is codec


def test_too_short(source):
    with pytest.raises(MdnnError, match=r"a\.txt' is too short: .*each needs at least 65"):
        open_data(source, at_least=65)
    with pytest.raises(MdnnError, match=r"too short: \d+ units to validate, needed at least 20"):
        open_data(source, at_least=20, codec=TextCodec(("new", "words", "the", "end", "at")))


def test_python_docs():
    corpus = open_data("python-docs", validation=0.2)
    assert len(corpus.train) + len(corpus.validation) == corpus.characters


def test_names_are_handed_on():
    import mdnn.data

    assert mdnn.data.open_data is open_data
    assert {name for name in dir(mdnn.data) if getattr(mdnn.data, name) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mdnn.data.nothing
