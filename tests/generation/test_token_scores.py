"""The option `logprobs`: log-probabilities of tokens in Python and on the command line."""

import json

import pytest

import mdnn
from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import CompletionRequest, ScoredText, ScoredToken
from mdnn.generation.options import GenerationOptions

LENGTH = 18


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


def test_tokens_that_begin_behind_the_end_are_left_out():
    tokens = [ScoredToken(text, -1.0) for text in ("a", "", "bcd", "e", "f")]
    assert [t.text for t in ScoredText("abcde", tokens).tokens] == ["a", "", "bcd", "e"]
    assert [t.text for t in ScoredText("abc", tokens).tokens] == ["a", "", "bcd"]
    assert ScoredText("", tokens).tokens == ()
    assert ScoredText("abc") == "abc"


def test_the_same_scores_as_the_server(run, server_completions):
    text = mdnn.generate(run, "The ", length=LENGTH, seed=3, logprobs=2)
    assert text == mdnn.generate(run, "The ", length=LENGTH, seed=3)
    request = CompletionRequest("The ", LENGTH, 0.8, seed=3, log_probabilities=True, alternatives=2)
    pieces = [piece for (piece,) in server_completions.complete([request])]
    scored = [token for piece in pieces for token in piece.log_probabilities]
    assert [token.text for token in text.tokens] == [token.text for token in scored] == list(text)
    for token, other in zip(text.tokens, scored, strict=True):
        assert token.log_probability == pytest.approx(other.log_probability, abs=1e-5)
        assert len(token.alternatives) == 2
    # Greedily each token is the likeliest one; a stop text cuts its tokens off.
    greedy = mdnn.generate(run, "The ", length=LENGTH, temperature=0, logprobs=1)
    for token in greedy.tokens:
        ((best, score, _),) = token.alternatives
        assert (best, score) == (token.text, pytest.approx(token.log_probability, abs=1e-4))
    stop = greedy[9:12]
    short = mdnn.generate(run, "The ", length=LENGTH, temperature=0, logprobs=1, stop=stop)
    assert short == greedy.partition(stop)[0]
    assert [token.text for token in short.tokens] == list(short)
    both = mdnn.generate(
        run, ["The ", "A cat and"], length=LENGTH, temperature=0, logprobs=1, batch_size=1
    )
    assert both[0].tokens == greedy.tokens
    assert [token.text for token in both[1].tokens] == list(both[1])


def test_the_command(run, server_completions, tiny_run, tmp_path, capfd):
    words = ["generate", str(tiny_run), "--greedy", "--length", str(LENGTH), "--logprobs", "1"]
    text = mdnn.generate(run, "The ", length=LENGTH, temperature=0, logprobs=1)
    assert main([*words, "--prompt", "The "]) == 0
    shown, *lines = capfd.readouterr().out.splitlines()
    assert shown == f"The {text}"
    assert len(lines) == LENGTH
    for line, token in zip(lines, text.tokens, strict=True):
        score, rest = line.split(None, 1)
        assert float(score) == pytest.approx(token.log_probability, abs=1e-4)
        assert rest.startswith(repr(token.text))
    path = tmp_path / "prompts.txt"
    path.write_text("The \n", encoding="utf-8")
    assert main([*words, "--prompts", str(path)]) == 0
    line = json.loads(capfd.readouterr().out)
    assert line["answer"] == text
    first = line["logprobs"][0]
    assert (first["token"], first["bytes"]) == (text[0], [ord(text[0])])
    assert first["top_logprobs"][0]["token"] == text[0]
    assert main([*words, "--prompt", "a", "--out", str(tmp_path / "a.txt")]) == 2
    assert "--logprobs: expected no --out with it" in capfd.readouterr().err


def test_what_is_refused(run, items_run):
    for wrong in (-1, 21, 1.5, True):
        with pytest.raises(MdnnError, match="logprobs: expected a whole number from 0 to 20"):
            GenerationOptions(logprobs=wrong)
    with pytest.raises(MdnnError, match="logprobs has no effect on item models"):
        mdnn.generate(items_run, ["one"], output="text", logprobs=0)
    with pytest.raises(MdnnError, match="logprobs has no effect on text models"):
        mdnn.ChatSession(run, logprobs=0)
    with pytest.raises(MdnnError, match="'keras' or 'auto' with logprobs"):
        mdnn.generate(run, "a", engine="native", logprobs=0)
