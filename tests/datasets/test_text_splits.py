"""A source made ready for training."""

import numpy as np
import pytest

from mdnn.datasets.text.text_splits import open_text
from mdnn.errors import MdnnError
from mdnn.tokens.characters import TextTokenizer


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the cat and the dog. " * 9 + "new words at the end, ")
    return path


def test_characters(source):
    text = source.read_text()
    corpus = open_text(source)
    assert corpus.source == str(source)
    assert corpus.characters == len(text)
    assert corpus.tokenizer.words == ()
    assert len(corpus.train) == int(len(text) * 0.9)
    assert corpus.tokenizer.text(np.concatenate([corpus.train, corpus.validation])) == text


def test_words_come_from_the_training_part_and_leave_the_cut(source):
    plain, worded = open_text(source), open_text(source, words=100)
    assert set(worded.tokenizer.words) == {"the", "cat", "and", "dog"}
    for part in ("train", "validation"):
        a, b = getattr(plain, part), getattr(worded, part)
        assert plain.tokenizer.text(a) == worded.tokenizer.text(b)
    assert len(worded.train) < len(plain.train)


def test_a_given_codec_is_used(source):
    tokenizer = TextTokenizer(("dog",))
    assert open_text(source, tokenizer=tokenizer, words=50).tokenizer is tokenizer


def test_too_short(source):
    with pytest.raises(MdnnError, match=r"a\.txt' is too short: .*each needs at least 65"):
        open_text(source, at_least=65)
    with pytest.raises(MdnnError, match=r"too short: \d+ tokens to validate, needed at least 20"):
        open_text(
            source, at_least=20, tokenizer=TextTokenizer(("new", "words", "the", "end", "at"))
        )


def test_python_docs():
    corpus = open_text("python-docs", validation=0.2)
    assert len(corpus.train) + len(corpus.validation) == corpus.characters


def test_names_are_handed_on():
    import mdnn.datasets

    assert mdnn.datasets.open_text is open_text
    assert {name for name in dir(mdnn.datasets) if getattr(mdnn.datasets, name) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mdnn.datasets.nothing
