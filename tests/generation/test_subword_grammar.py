"""Grammars over subwords: tables against brute force, and what a network writes under them."""

import functools
import json
import re

import keras
import numpy as np
import pytest
import tiny

import mdnn
import mdnn.generation.completions.text_completions
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.expressions import sequence
from mdnn.constraints.json_schemas import schema_expression
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.constraints.utf8_automaton import utf8_table
from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.grammar_mask import GrammarTables
from mdnn.generation.completions.subword_grammar import END, subword_states
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.runs.run_folder import open_run
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer
from mdnn.tokens.subwords.subword_training import train_subwords

pytest.importorskip("tokenizers")
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 150}, "k": {"enum": ["日😀"]}},
    "required": ["n", "k"],
}


@functools.cache
def vocabulary():
    table, about = train_subwords(tiny.TEXT, 300)
    return table, json.dumps(json.loads(about or "{}") | {"eos_token": "<|end|>"})


@functools.cache
def tokenizer():
    """A vocabulary with a token that ends an answer."""
    table, about = vocabulary()
    table = json.loads(table)
    number = max(table["model"]["vocab"].values()) + 1
    end = {"id": number, "content": "<|end|>", "special": True}
    more = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    table["added_tokens"] = [*table.get("added_tokens", ()), end | more]
    return SubwordTokenizer((json.dumps(table), about))


def after_bytes(table, data, state):
    for byte in data:
        state = table[state, byte] if state >= 0 else -1
    return state


@pytest.mark.parametrize("regex", ["a*é", "日|[^a]", "[a-\U0010ffff]{2}", "(cat|日本😀)+"])
def test_bytes_of_characters(regex):
    """After the bytes of a text stands the state after its characters."""
    automaton = compile_expression(parse_regex(regex, "regex"))
    table = utf8_table(automaton)
    for text in (
        "a",
        "z",
        "é",
        "ÿ",
        "߿",
        "ࠀ",
        "日",
        "本",
        "\ud7ff",
        "\ue000",
        "￿",
        "😀",
        "\U0010ffff",
    ):
        for state in range(automaton.states):
            assert after_bytes(table, text.encode(), state) == automaton.step(text, state)
    # No other spelling of a character, no surrogate, nothing above the last code point.
    for data in (b"\x80", b"\xc1\x81", b"\xe0\x81\x81", b"\xed\xa0\x80", b"\xf0\x80\x81\x81"):
        assert after_bytes(table, data, 0) == -1
    assert after_bytes(table, b"\xf4\x90\x80\x80", 0) == after_bytes(table, b"\xff", 0) == -1


@pytest.mark.parametrize("most", [10_000, 1])
@pytest.mark.parametrize("regex", ["(The |the )*cat[a-z ]{0,9}!", "ça va|naïve?|C", "<[|]end[|]>"])
def test_states_after_tokens(regex, most):
    automaton = compile_expression(sequence(parse_regex(regex, "regex"), END))
    table = utf8_table(automaton)
    after, distance = subword_states(automaton, tokenizer(), most)
    assert len(after) == (automaton.states if most == 1 else len(table))
    (end,) = tokenizer().end_ids
    expected = np.full(after.shape, -1)
    for state in range(len(after)):
        for number, data in enumerate(texts()):
            if data and (reached := after_bytes(table, data, state)) < len(after):
                expected[state, number] = reached
        if state < automaton.states:
            marks = [automaton.step(mark, state) for mark in (END, "<|end|>")]
            expected[state, end] = next((after for after in marks if after >= 0), -1)
    # The least number of tokens: one more than from the best next state. What leads to no end is
    # not begun.
    nearest = {state: 0 for state in range(automaton.states) if automaton.accepting[state]}
    for _ in range(len(after)):
        for state, row in enumerate(expected):
            ends = [nearest[k] + 1 for k in set(row.tolist()) if k in nearest]
            if ends:
                nearest[state] = min(nearest.get(state, len(after)), *ends)
    expected[~np.isin(expected, list(nearest))] = -1
    np.testing.assert_array_equal(after, expected)
    assert {k: distance[k] for k in nearest} == nearest
    assert nearest[0] > 0


def texts():
    return tokenizer().token_bytes


def test_what_no_token_can_write():
    """A character whose bytes no token holds is passed by where states are few."""
    automaton = compile_expression(sequence(parse_regex("日|cat", "regex"), END))
    for most, begun in ((10_000, {"日".encode()[0], ord("c")}), (1, {ord("c")})):
        after, _ = subword_states(automaton, tokenizer(), most)
        assert {texts()[k][0] for k in np.flatnonzero(after[0] >= 0)} == begun
    with pytest.raises(MdnnError, match="no text of this grammar can be written"):
        subword_states(compile_expression(parse_regex("日", "regex")), tokenizer(), 1)


def test_a_large_vocabulary_and_a_large_grammar(monkeypatch):
    monkeypatch.setattr(GrammarTables, "MAX_TOKEN_STATES", 1000)
    automaton = compile_expression(parse_regex("abc", "regex"))
    with pytest.raises(MdnnError, match="4 states and the network 294 words or subwords"):
        GrammarTables(automaton, subwords=tokenizer())


@pytest.mark.usefixtures("decoded_without_xla")
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="mdnn.train needs TensorFlow or JAX")
def test_a_network_of_subwords_writes_texts_of_a_grammar(tmp_path, capsys):
    settings = ('tokens.modalities=["subword"]', "tokens.subwords=300", "train.steps=2")
    config = tiny.load_config(tmp_path, *settings, "train.num_evaluations=0", "train.sample=0")
    mdnn.train(config, tmp_path / "run", show=False)
    capsys.readouterr()
    run = open_run(tmp_path / "run")
    completions = TextCompletions(run)
    grammar = completions.grammar(compile_expression(sequence(schema_expression(SCHEMA), END)))
    for temperature, most in ((30.0, 60), (1.0, grammar.least)):
        request = CompletionRequest(
            "The ", most, temperature=temperature, seed=3, stop=(END,), grammar=grammar
        )
        pieces = [piece for (piece,) in completions.complete([request])]
        assert pieces[-1].finish == "stop"
        value = json.loads("".join(piece.text for piece in pieces))
        assert value["k"] == "日😀"
        assert 0 <= value["n"] <= 150
    text = mdnn.generate(run, "The ", regex="(cat|dog)s?!", temperature=5.0)
    assert re.fullmatch("(cat|dog)s?!", text)
    with pytest.raises(MdnnError, match="length: expected at least"):
        mdnn.generate(run, "The ", regex="(cat|dog)s?!", length=1)
