"""`mdnn generate` of items: prompts in order, files out, and what bad input gets."""

import dataclasses

import numpy as np
import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.datasets.media.media_files import read_item, write_item
from mdnn.generation.options import GenerationOptions
from mdnn.tokens.items import Item


@pytest.fixture
def call(capfd, items_run, tmp_path, monkeypatch):
    """Runs `mdnn generate` of items in an empty folder; returns status, output and errors."""
    monkeypatch.chdir(tmp_path)
    write_item(Item("grey", tiny.picture("seven")), "seven.png")

    def run(*words):
        status = main(["generate", str(items_run), *words])
        return (status, *capfd.readouterr())

    return run


def test_files_out(call, items_run, tmp_path):
    words = ("--prompt", "seven", "--decoding", "parallel", "--preset", "factual")
    expected = mdnn.generate(
        items_run, ["seven"], output="grey", decoding="parallel", preset="factual"
    )
    assert call(*words, "--output", "grey", "--out", "a.png") == (0, "a.png\n", "")
    np.testing.assert_array_equal(read_item("a.png").value, expected)
    status, out, err = call(*words, "--output", "grey", "--output", "audio", "--out", "b.png")
    assert (status, out, err) == (0, "b-1.png\nb-2.wav\n", "")
    assert read_item("b-2.wav").rate == 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.png",
        "b-1.png",
        "b-2.wav",
        "seven.png",
    ]


def test_items_keep_their_order(call, items_run):
    picture = tiny.picture("seven")
    settings = {"output": "text", "decoding": "parallel", "temperature": 0}
    words = ("--item", "seven.png", "--output", "text", "--decoding", "parallel", "--greedy")
    expected = mdnn.generate(items_run, [picture], **settings)
    assert call(*words) == (0, expected + "\n", "")
    for order in (1, -1):
        parts = [("--prompt", "two"), ("--item", "seven.png")][::order]
        status, out, _ = call(*(w for part in parts for w in part), *words[2:])
        expected = mdnn.generate(items_run, ["two", picture][::order], **settings)
        assert (status, out) == (0, expected + "\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected a --prompt or an --item, received none"),
        (("--prompt", "one", "--output", "grey"), "--out: expected a file .png for grey, rec"),
        (("--prompt", "one", "--output", "grey", "--out", "a.wav"), "--out: expected a file .png"),
        (("--prompt", "one", "--output", "grey", "--out", "no/a.png"), "--out: there is no folder"),
        (("--prompt", "one", "--output", "gray", "--out", "a.png"), "output: unknown 'gray'"),
        (("--item", "none.png", "--output", "text"), "cannot read none.png: No such file"),
        (("--item", "seven.gif", "--output", "text"), "cannot read seven.gif"),
        (
            ("--prompt", "one", "--output", "text", "--decoding", "twice"),
            "decoding: unknown 'twice'",
        ),
        (
            ("--prompt", "one", "--output", "text", "--num-denoising-steps", "0"),
            "num_denoising_steps: expected",
        ),
    ],
)
def test_bad_words(call, tmp_path, words, message):
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"mdnn: error: {message}")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["seven.png"]


def test_a_text_is_one_prompt(capfd, tiny_run):
    assert main(["generate", str(tiny_run), "--prompt", "a", "--prompt", "b"]) == 2
    assert capfd.readouterr().err == (
        "mdnn: error: this network continues one text: expected one --prompt\n"
    )


def test_help_groups_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    out = capsys.readouterr().out
    titles = ["The prompt:", "The answer:", "How tokens are sampled:"]
    titles += ["How texts and items are decoded:", "Networks of texts:", "Networks of items:"]
    titles += ["Networks of puzzles:", "The network:"]
    assert [out.index(title) for title in titles] == sorted(out.index(title) for title in titles)
    for field in dataclasses.fields(GenerationOptions):
        if field.metadata["group"]:
            assert f"--{field.name.replace('_', '-')}" in out
