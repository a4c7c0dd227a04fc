"""Stop texts: the same text whatever the pieces; prompts from files; several samples."""

import io
import random
import sys
import types

import pytest

from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.generation.completions.stop_texts import until_stop
from mdnn.generation.options import GenerationOptions


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two three", ["one"], ""),
        ("one two three", ["four"], "one two three"),
        ("one two three", ["e"], "on"),
        ("aaab", ["aab"], "a"),
        ("abcd", ["abcde", "cd"], "ab"),
        ("abcdef", ["abcdef", "cd"], "ab"),
        ("abcdef", ["bcd", "d"], "a"),
        ("", ["a"], ""),
        ("text", [], "text"),
        ("Ça 😀!", ["😀"], "Ça "),
    ],
)
def test_until_stop(text, stops, expected):
    draw = random.Random(0)
    for _ in range(30):
        cuts = sorted(draw.choices(range(len(text) + 1), k=draw.randrange(6)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        found = list(until_stop(iter(pieces), stops))
        assert "".join(found) == expected
        assert all(found) or not stops


def test_nothing_is_written_behind_a_stop():
    def pieces():
        yield "one."
        yield "Two."
        raise AssertionError("asked for more")

    assert "".join(until_stop(pieces(), ["wo"])) == "one.T"


def test_the_option():
    assert GenerationOptions().stop_texts == []
    assert GenerationOptions(stop="\n").stop_texts == ["\n"]
    assert GenerationOptions(stop=("a", "b")).stop_texts == ["a", "b"]
    for wrong in ("", [""], [3], 3, [None]):
        with pytest.raises(MdnnError, match="stop: expected strings that are not empty"):
            GenerationOptions(stop=wrong)


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """Runs `mdnn generate` with a task that tells what it is asked; returns status and outputs."""

    class Task:
        streams_text = True

        def read_prompt(self, run, items, convert):
            ((option, prompt),) = items
            assert option == "--prompt"
            return prompt

        def answer_kinds(self, options):
            return ["text"]

        def answer_items(self, answer, options):
            from mdnn.tokens.items import Item

            return [Item("text", answer)]

        def generate(self, run, prompt, options, stream=None, progress=None):
            text = f"<{options.seed}{''.join(options.stop_texts)}>"
            if stream is not None:
                stream(text)
            return text

    run = types.SimpleNamespace(
        config=types.SimpleNamespace(tokens=types.SimpleNamespace(sample_rate=None)), words=()
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mdnn.runtime.quiet_import", lambda prepare=None: None)
    monkeypatch.setattr("mdnn.runs.cached_runs.cached_run", lambda path: run)
    monkeypatch.setattr("mdnn.tasks.registry.task_for", lambda config, words: Task())

    def ask(*words, stdin=b""):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(stdin)))
        status = main(["generate", "run", *words])
        return (status, *capsys.readouterr())

    return ask


@pytest.mark.parametrize(
    ("data", "prompt"),
    [
        (b"The \n", "The "),
        (b"The ", "The "),
        (b"one\r\ntwo\r\n", "one\r\ntwo"),
        (b"\n\n", "\n"),
        (b"\xef\xbb\xbf\xc3\x87a", "Ça"),
        (b"-x\n", "-x"),
    ],
)
def test_prompts_from_files(call, tmp_path, data, prompt):
    (tmp_path / "a b$.txt").write_bytes(data)
    expected = (0, f"{prompt}<0>\n", "")
    assert call("--prompt-file", "a b$.txt") == expected
    assert call("--prompt", "-", stdin=data) == expected
    assert call("--prompt-file", "-", stdin=data) == expected
    assert call("--prompt-file=-", stdin=data) == expected


def test_prompts_that_cannot_be_read(call):
    assert call("--prompt-file", "nothing.txt")[0] == 2
    status, out, error = call("--prompt", "-", stdin=b"\xff")
    assert (status, out) == (2, "")
    assert error == (
        "mdnn: error: standard input: expected UTF-8 text, received byte 0xff at offset 0\n"
    )


def test_samples(call, tmp_path):
    words = ("--prompt", "The ", "--samples", "3", "--seed", "5", "--stop", ".", "--stop", "-")
    assert call(*words) == (0, "The <5.->\n---\nThe <6.->\n---\nThe <7.->\n", "")
    assert call(*words, "--out", "a.txt") == (0, "a-1.txt\na-2.txt\na-3.txt\n", "")
    assert (tmp_path / "a-2.txt").read_text() == "<6.->"
    for number in ("0", "-1", "10001"):
        status, _, error = call("--prompt", "a", "--samples", number)
        assert (status, error.count("--samples: expected 1 to 10,000")) == (2, 1)
