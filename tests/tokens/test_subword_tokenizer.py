"""Subwords: exact both ways, counted in characters, and bad tokenizers refused by name."""

import json

import numpy as np
import pytest
import tiny

import mdnn
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer
from mdnn.tokens.subwords.subword_training import train_subwords

ODD = "naïve ☃ 漢字 \U0001f600 \r\n\tx  y"


@pytest.fixture(scope="module", params=["bytes", "sentencepiece"])
def tokenizer(request):
    return SubwordTokenizer(train_subwords(tiny.TEXT, 300, request.param), 320)


@pytest.mark.parametrize("text", [tiny.TEXT, ODD, "a", ""])
def test_exact_both_ways(tokenizer, text):
    ids = tokenizer.ids(text)
    assert tokenizer.text(ids) == text
    assert tokenizer.lengths(ids).sum() == len(text)
    assert len(ids) <= tokenizer.tokens_per_character * len(text)
    np.testing.assert_array_equal(tokenizer.ids_from_tokens(tokenizer.tokens(ids)), ids)


def test_words_become_single_tokens(tokenizer):
    assert len(tokenizer.ids("The cat sat on the mat.")) < 12


def test_characters_split_between_tokens_come_with_the_last(tokenizer):
    ids, decode = tokenizer.ids(ODD), tokenizer.decoder()
    pieces = [decode([number]) for number in ids]
    assert "".join(pieces) == ODD
    assert "\ufffd" not in pieces


def test_tokens_are_padded_and_checked(tokenizer):
    rows = tokenizer.tokens(np.array([[5, -1]]), item=2, first_place=3)
    assert rows.tolist() == [[[15, 0, 0, 5, 3, 0, 0, 2], [0] * 8]]
    assert tokenizer.lengths([-1, 319]).tolist() == [0, 0]
    for wrong in (lambda: tokenizer.text([320]), lambda: tokenizer.tokens(np.array([-2]))):
        with pytest.raises(mdnn.MdnnError, match="expected token ids"):
            wrong()


def test_special_tokens_end_an_answer():
    table = json.loads(train_subwords(tiny.TEXT, 280)[0])
    table["added_tokens"] = [{"id": 280, "content": "<|end|>", "special": True} | FLAGS]
    about = json.dumps({"eos_token": "<|end|>", "chat_template": "{{ messages }}"})
    tokenizer = SubwordTokenizer((json.dumps(table), about))
    assert tokenizer.end_ids == {280}
    assert tokenizer.ids("cat<|end|>")[-1] == 280
    assert tokenizer.text(tokenizer.ids("cat<|end|>")) == "cat"
    assert tokenizer.chat_template == "{{ messages }}"


FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)


def broken(**changes):
    table = json.loads(train_subwords("ab", 260)[0])
    table["model"] |= changes.pop("model", {})
    return json.dumps(table | changes)


def nested(depth):
    part = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    for _ in range(depth):
        part = {"type": "Sequence", "pretokenizers": [part]}
    return part


SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "WordPiece"}}, "unknown tokenizer 'WordPiece'; known: BPE, Unigram"),
        ({"model": {"vocab": {"a": -1}}}, "expected a number from 0"),
        ({"model": {"vocab": {"a": 1 << 40}}}, "expected a number from 0"),
        ({"model": {"vocab": {"a" * 2000: 1}}}, "at most 1024 characters"),
        ({"model": {"vocab": {"a": 1, "b": 1}}}, "distinct numbers"),
        ({"model": {"vocab": []}}, "expected a vocabulary"),
        ({"model": {"vocab": {}}}, "expected 1 to"),
        ({"model": {"merges": [["a", "zz"]]}}, "cannot be used"),
        ({"model": {"merges": 3}}, "cannot be used"),
        ({"normalizer": {"type": "Precompiled"}}, "unknown normalizer 'Precompiled'"),
        ({"pre_tokenizer": {"type": "Bert"}}, "unknown pre_tokenizer 'Bert'"),
        ({"pre_tokenizer": SPLIT | {"pattern": {"Regex": "(a+)+$"}}}, "unknown regular expression"),
        ({"pre_tokenizer": nested(9)}, "short list of parts"),
        ({"pre_tokenizer": nested(200)}, "short list of parts"),
        ({"post_processor": {"type": "TemplateProcessing"}}, "cannot be used"),
        ({"added_tokens": [{"id": 1}]}, "'content'"),
    ],
)
def test_bad_tokenizers_are_refused(changes, message):
    with pytest.raises(mdnn.MdnnError, match=message) as error:
        SubwordTokenizer((broken(**changes), "{}")).ids("ab")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": 1}', "[" * 100_000])
def test_texts_that_are_no_tokenizers(text):
    with pytest.raises(mdnn.MdnnError, match=r"tokenizer\.json"):
        SubwordTokenizer((text, "{}"))


def test_a_vocabulary_larger_than_the_network():
    with pytest.raises(mdnn.MdnnError, match=r"expected at most the network's 256"):
        SubwordTokenizer(train_subwords(tiny.TEXT, 300), 256)
