"""Penalties and biases in Python, on the command line and in conversations: those of the server."""

import functools
import json
import math

import numpy as np
import pytest

import mdnn
from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.options import GenerationOptions
from mdnn.generation.options.token_offsets import bias_of, checked_biases, token_biases

PENALTIES = {"presence_penalty": 1.5, "frequency_penalty": 0.5}
BIASES = {ord("a"): -100, ord("日"): 3.0}
LENGTH = 24


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


def completed(completions, prompt, seed=0, temperature=0.8, **options):
    """What a request in OpenAI's form gives."""
    request = CompletionRequest(prompt, LENGTH, temperature, seed=seed, **options)
    return "".join(piece.text for (piece,) in completions.complete([request]))


def test_the_same_texts_as_the_server(run, server_completions):
    write = functools.partial(mdnn.generate, run, "The ", length=LENGTH)
    plain = write(temperature=0)
    assert "a" in plain
    assert write(temperature=0, presence_penalty=0, logit_bias={}) == plain
    pairs = tuple(BIASES.items())
    for seed in (3, 4):
        offsets = {**PENALTIES, "logit_bias": pairs}
        assert write(seed=seed, **PENALTIES, logit_bias=BIASES) == completed(
            server_completions, "The ", seed, **offsets
        )
    assert "a" not in write(temperature=0, logit_bias={"97": -100})
    assert write(logit_bias={np.int64(ord("日")): 100}) == "日" * LENGTH
    assert len(set(write(temperature=0, presence_penalty=2, frequency_penalty=2))) > len(set(plain))
    pieces = []
    text = write(temperature=0, logit_bias={97: -100}, stream=pieces.append, stop="ZZ")
    assert "".join(pieces) == text == write(temperature=0, logit_bias={97: -100})


@pytest.mark.long
def test_beside_filters_and_grammars(run, server_completions):
    write = functools.partial(mdnn.generate, run, "The ", length=LENGTH, logit_bias={97: -100})
    assert write(temperature=0, top_k=3) == write(temperature=0)
    assert mdnn.generate(run, "The ", regex="(cat|dog)", logit_bias={100: 100}) == "dog"


def test_several_prompts(run, server_completions):
    options = {"length": LENGTH, "logit_bias": BIASES, **PENALTIES}
    prompts = ["The ", "A longer one", "x"]
    answers = mdnn.generate(run, prompts, seed=[1, 2, 3], batch_size=2, **options)
    for prompt, seed, answer in zip(prompts, (1, 2, 3), answers, strict=True):
        assert answer == mdnn.generate(run, prompt, seed=seed, **options)
    assert mdnn.generate(run, ["The "], length=0, presence_penalty=1.0) == [""]


def test_the_command(run, server_completions, tiny_run, tmp_path, capfd):
    words = ["generate", str(tiny_run), "--length", str(LENGTH), "--greedy"]
    words += ["--presence-penalty", "-1.5", "--frequency-penalty", "0.5"]
    words += ["--logit-bias", "97=-100", "--logit-bias", "26085=3"]
    assert main([*words, "--prompt", "The "]) == 0
    options = {"length": LENGTH, "temperature": 0, "logit_bias": BIASES}
    expected = mdnn.generate(run, "The ", presence_penalty=-1.5, frequency_penalty=0.5, **options)
    assert capfd.readouterr().out == f"The {expected}\n"
    (tmp_path / "prompts.txt").write_text("The \n", encoding="utf-8")
    assert main([*words, "--prompts", str(tmp_path / "prompts.txt")]) == 0
    assert json.loads(capfd.readouterr().out)["answer"] == expected
    for word in ("a=3", "97", "97=x", "97=nan", "97=101", "-1=3"):
        with pytest.raises(SystemExit) as error:
            main([*words, "--prompt", "a", "--logit-bias", word])
        assert error.value.code == 2
        assert "--logit-bias: expected NUMBER=BIAS, such as 101=-100" in capfd.readouterr().err


def test_a_conversation(run, server_completions):
    session = mdnn.ChatSession(run, length=9, logit_bias={ord("é"): 100})
    session.completions = {None: server_completions}
    assert session.say("The cat").content == "é" * 9
    session.change(logit_bias=None, presence_penalty=2.0, temperature=0.0)
    prompt = session.format.lay_out(session.messages[:1], [], True)
    session.undo()
    expected = completed(server_completions, prompt, temperature=0.0, presence_penalty=2.0)
    assert session.say("The cat").content == expected[:9]
    for wrong in ({"logit_bias": {0xD800: 1}}, {"presence_penalty": 3}):
        with pytest.raises(MdnnError):
            session.change(**wrong)
    with pytest.raises(MdnnError, match="regex has no effect"):
        mdnn.ChatSession(run, regex="a")


def test_the_command_of_conversations(tiny_run, monkeypatch, capfd):
    from mdnn.assistant.chat_command import Terminal

    session = mdnn.ChatSession(tiny_run)
    Terminal(session).command("set", "presence-penalty -0.5")
    Terminal(session).command("set", "frequency_penalty 2")
    options = session.options
    assert (options.presence_penalty, options.frequency_penalty) == (-0.5, 2.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presence_penalty": 2.5}, "presence_penalty: expected -2 to 2, received 2.5"),
        ({"frequency_penalty": math.nan}, "frequency_penalty: expected -2 to 2, received nan"),
        ({"frequency_penalty": "1"}, "frequency_penalty: expected -2 to 2"),
        ({"logit_bias": [1]}, "logit_bias: expected a dict from numbers of tokens to biases"),
        ({"logit_bias": {"a": 1}}, "logit_bias: expected numbers of tokens, received 'a'"),
        ({"logit_bias": {True: 1}}, "logit_bias: expected numbers of tokens, received True"),
        ({"logit_bias": {-1: 1}}, "logit_bias: expected numbers of tokens, received -1"),
        ({"logit_bias": {97: 101}}, "logit_bias: expected biases from -100 to 100"),
        ({"logit_bias": {97: "1"}}, "logit_bias: expected numbers, received '1'"),
        ({"logit_bias": dict.fromkeys(range(301), 1)}, "logit_bias: expected at most 300 tokens"),
    ],
)
def test_values_out_of_range(options, message):
    with pytest.raises(MdnnError) as error:
        GenerationOptions(**options)
    assert str(error.value).startswith(message)


def test_numbers_of_tokens(run):
    assert token_biases({98: 2, "97": 1, 99: 0}, run.tokenizer) == ((97, 1.0), (98, 2.0))
    assert token_biases(None, run.tokenizer) == ()
    assert checked_biases([bias_of("7=-0.5")]) == {7: -0.5}
    with pytest.raises(MdnnError, match="numbers of tokens, below 1114112, received 1114112"):
        token_biases({1_114_112: 1}, run.tokenizer)


def test_other_networks_and_engines_refuse_them(run, items_run):
    for name, value in (*PENALTIES.items(), ("logit_bias", BIASES)):
        with pytest.raises(MdnnError, match=f"{name} has no effect on item models"):
            mdnn.generate(items_run, ["one"], output="text", **{name: value})
        with pytest.raises(MdnnError, match="'keras' or 'auto' with"):
            mdnn.generate(run, "a", engine="native", **{name: value})


def test_puzzles_refuse_them():
    from mdnn.generation.puzzle_solving import WRITING_OPTIONS

    assert {*PENALTIES, "logit_bias"} <= set(WRITING_OPTIONS)
