"""A source made ready for training."""

import numpy as np
import pytest
from networks import make_config, mix

from mdnn.datasets.text.subword_dropout import ENCODINGS, dropped_tokenizers
from mdnn.datasets.text.text_splits import open_text
from mdnn.errors import MdnnError
from mdnn.tasks.registry import task_for
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer
from mdnn.tokens.subwords.subword_training import train_subwords


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the cat and the dog. " * 9 + "new words at the end, ")
    return path


def test_characters(source):
    text = source.read_text()
    splits = open_text(source)
    assert splits.source == str(source)
    assert splits.characters == len(text)
    assert splits.tokenizer.words == ()
    assert len(splits.train) == int(len(text) * 0.9)
    assert splits.tokenizer.text(np.concatenate([splits.train, splits.validation])) == text


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
    splits = open_text("python-docs", validation=0.2)
    assert len(splits.train) + len(splits.validation) == splits.characters


def test_names_are_handed_on():
    import mdnn.datasets

    assert mdnn.datasets.open_text is open_text
    assert {name for name in dir(mdnn.datasets) if getattr(mdnn.datasets, name) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mdnn.datasets.nothing


@pytest.mark.parametrize("kind", ["bytes", "sentencepiece"])
def test_subword_dropout_cuts_the_same_text_in_other_ways(source, kind):
    options = {"subwords": 290, "subword_kind": kind}
    plain = open_text(source, **options)
    splits = open_text(source, **options, subword_dropout=0.4, seed=3)
    assert plain.mixed == ()
    assert len(splits.mixed) == ENCODINGS
    np.testing.assert_array_equal(splits.train, plain.train)
    np.testing.assert_array_equal(splits.validation, plain.validation)
    encodings = {ids.tobytes() for ids, _ in splits.mixed}
    assert len(encodings) > 2
    text = plain.tokenizer.text(plain.train)
    for ids, share in splits.mixed:
        assert plain.tokenizer.text(ids) == text
        assert len(ids) >= len(plain.train)
        assert share == pytest.approx(1 / (1 + ENCODINGS))
    again = open_text(source, **options, subword_dropout=0.4, seed=3)
    assert encodings == {ids.tobytes() for ids, _ in again.mixed}
    others = open_text(source, **options, subword_dropout=0.4, seed=4)
    assert encodings != {ids.tobytes() for ids, _ in others.mixed}


def test_subword_dropout_shares_what_further_texts_leave(source):
    splits = open_text(source, subwords=290, subword_dropout=0.2, mix=[(source, 0.1)])
    shares = [share for _, share in splits.mixed]
    assert shares[0] == 0.1
    assert 1 - sum(shares) == pytest.approx(shares[1]) == pytest.approx(0.9 / (1 + ENCODINGS))


def test_a_task_draws_from_all_encodings(source):
    table = {"source": str(source), "validation": 0.3}
    tokens = {"modalities": ["subword"], "subwords": 290, "subword_dropout": 0.4}
    task = task_for(make_config(mix({}), data=table, tokens=tokens), None).open()
    assert len(task.splits.mixed) == ENCODINGS
    assert len(task.batches.ids) > (1 + ENCODINGS) * len(task.splits.train)
    # Longer encodings have shorter tokens.
    assert task.units_per_token < task.tokenizer.lengths(task.splits.train).mean()


def test_subword_dropout_needs_merges():
    tokenizer = SubwordTokenizer(train_subwords("ab", 256))
    with pytest.raises(MdnnError, match=r"expected a vocabulary with merges, found none"):
        next(dropped_tokenizers(tokenizer, 0.1, seed=1))
