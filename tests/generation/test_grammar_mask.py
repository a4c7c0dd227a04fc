"""Grammars inside the decoding loop: what is written fits, whatever the network would write."""

import json

import numpy as np
import pytest

import mdnn
import mdnn.generation.completions.text_completions
from mdnn.cli import main
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.expressions import sequence
from mdnn.constraints.json_schemas import schema_expression
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.grammar_mask import GrammarTables
from mdnn.generation.completions.text_completions import TextCompletions

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 0, "maximum": 150},
        "k": {"enum": ["cat", "日本😀"]},
        "s": {"type": "string", "maxLength": 3},
    },
    "required": ["n", "k"],
}
END = "\x1e"


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module", params=["tiny_run", "words_run"])
def completions(request):
    if request.param == "tiny_run":
        return request.getfixturevalue("completions_of_tiny")
    return TextCompletions(request.getfixturevalue("opened_words"))


def write(completions, grammar, seeds, max_tokens=40, **settings):
    requests = [
        CompletionRequest(
            "The cat ", max_tokens, seed=seed, stop=(END,), grammar=grammar, **settings
        )
        for seed in seeds
    ]
    texts, finish = [[] for _ in requests], {}
    for pieces in completions.complete(requests):
        for number, piece in enumerate(pieces):
            texts[number].append(piece.text)
            if piece.finish:
                finish[number] = piece.finish
    assert set(finish.values()) == {"stop"}
    return ["".join(text) for text in texts]


def grammar_of(completions, expression):
    return completions.grammar(compile_expression(sequence(expression, END)))


def test_every_answer_is_well_formed(completions):
    """Also where the number of tokens is nearly too small for any."""
    grammar = grammar_of(completions, schema_expression(SCHEMA))
    least = int(grammar.automaton.distance[0])
    for settings in ({"temperature": 30.0}, {"temperature": 0.0}, {"max_tokens": least}):
        for text in write(completions, grammar, range(2), **settings):
            value = json.loads(text)
            assert grammar.automaton.matches(text + END)
            assert set(value) >= {"n", "k"}
            assert 0 <= value["n"] <= 150
    # The same seed writes the same text, alone or beside others.
    both = write(completions, grammar, [5, 6], temperature=1.0)
    assert write(completions, grammar, [6], temperature=1.0) == both[1:]


def test_a_grammar_of_everything_changes_nothing(completions):
    grammar = grammar_of(completions, parse_regex("[^\x1e]*"))
    plain = CompletionRequest("The cat ", 20, seed=3, temperature=0.7)
    masked = CompletionRequest("The cat ", 21, seed=3, temperature=0.7, grammar=grammar)
    texts = [
        "".join(piece.text for (piece,) in completions.complete([request]))
        for request in (plain, masked)
    ]
    size = len(texts[0]) - 1
    assert texts[0][:size] == texts[1][:size]


def test_masks_are_those_of_the_automaton(completions):
    """What is written is what the likeliest allowed token is, step by step."""
    grammar = grammar_of(completions, parse_regex("(sat|ate|the mat|é日){1,4}\\. "))
    for text in write(completions, grammar, [1], temperature=0.5, log_probabilities=True):
        assert grammar.automaton.matches(text + END)


def test_tables_of_tokens():
    automaton = compile_expression(parse_regex("(ab|abc)+d"))
    texts = ["a", "ab", "bc", "abd", "x", "", "abcabd"]
    tables = GrammarTables(automaton, texts).arrays
    after = tables["grammar_tokens"]
    assert after.shape[1] == 256
    for state in range(automaton.states):
        for number, text in enumerate(texts):
            expected = automaton.step(text, state) if text else -1
            assert after[state, number] == expected
    assert (after[automaton.states :] == -1).all()
    assert (after[:, len(texts) :] == -1).all()
    # Few sizes of tables are compiled.
    assert tables["grammar_next"].shape == (64, 32)
    assert tables["grammar_classes"].shape == (4, 256)
    every = tables["grammar_classes"][tables["grammar_pages"]].reshape(-1)
    for character in "abcdxé日😀":
        assert every[ord(character)] == automaton.class_of(character)
    assert np.array_equal(tables["grammar_distance"][: automaton.states], automaton.distance)


def test_tables_that_are_too_large(monkeypatch):
    monkeypatch.setattr(GrammarTables, "MAX_TOKEN_STATES", 100)
    with pytest.raises(MdnnError, match=r"4 states and the network 2 words or subwords"):
        GrammarTables(compile_expression(parse_regex("abc")), ["a", "b"])


def test_generate_takes_a_regex_or_a_schema(tiny_run, server_completions, capsys):
    written = []
    text = mdnn.generate(
        tiny_run, "The ", regex="(cat|dog)s?!", temperature=5.0, stream=written.append
    )
    assert text in ("cat!", "cats!", "dog!", "dogs!")
    assert "".join(written) == text
    pet = json.loads(mdnn.generate(tiny_run, "The ", schema=SCHEMA, length=40, seed=2))
    assert pet["k"] in ("cat", "日本😀")
    assert main(["generate", str(tiny_run), "--prompt", "A", "--schema", '{"const": 7}']) == 0
    assert capsys.readouterr()[0].rstrip().endswith("7")
    for options, said in (
        ({"regex": "(a"}, r"regex: expected '\)'"),
        ({"regex": "a{9}", "length": 9}, "length: expected at least 10"),
        ({"regex": 3}, "regex: expected a string"),
        ({"schema": "{"}, "schema: not JSON"),
        ({"schema": {"not": {}}}, "the keyword 'not' is not supported"),
        ({"schema": {1, 2}}, "schema: expected a JSON schema"),
        ({"schema": {}, "regex": "a"}, "expected regex or schema, received both"),
    ):
        with pytest.raises(MdnnError, match=said):
            mdnn.generate(tiny_run, "The ", **options)


def test_other_networks_refuse_them(items_run):
    with pytest.raises(MdnnError, match="regex has no effect on item models"):
        mdnn.generate(items_run, ["one"], regex="a")
