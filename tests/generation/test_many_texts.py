"""Many prompts in one call: each answer is that of its prompt alone."""

import json

import pytest

import mdnn
from mdnn.cli import main
from mdnn.generation.completions import many_texts

PROMPTS = ["The ", "A longer prompt than that", "x", "The ", "One more of them"]


@pytest.mark.long
def test_each_answer_is_that_of_its_prompt(tiny_run, monkeypatch):
    options = {"length": 9, "temperature": 0.8}
    sizes, fractions = [], []
    write = many_texts.TextStream.write

    def counted(self, prompts, *rest):
        sizes.append(len(prompts))
        return write(self, prompts, *rest)

    monkeypatch.setattr(many_texts.TextStream, "write", counted)
    answers = mdnn.generate(tiny_run, PROMPTS, batch_size=2, seed=[1, 2, 3, 4, 1], **options)
    assert sizes == [2, 2, 1]
    seeds = (1, 2, 3, 4, 1)
    for prompt, seed, answer in zip(PROMPTS, seeds, answers, strict=True):
        assert answer == mdnn.generate(tiny_run, prompt, seed=seed, **options)
        assert len(answer) == 9
    run = mdnn.runs.run_folder.open_run(tiny_run)
    options = mdnn.generation.options.GenerationOptions(length=2, batch_size=2)
    again = mdnn.generation.text_decoding.generate_text(
        run, PROMPTS, options, progress=fractions.append
    )
    assert fractions == [0.4, 0.8, 1.0]
    assert len(again) == 5


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (["a", ""], {}, "prompt: expected a string of at least one character, received ''"),
        (["a", "b"], {"seed": [1]}, "seed: expected one or 2, as many as prompts, received 1"),
        (["a", "b"], {"regex": "a*"}, "regex has no effect on several prompts of text"),
        (["a", "b"], {"top_k": 3}, "top_k, top_p: expected one prompt, received several"),
    ],
)
def test_what_is_refused(tiny_run, prompt, options, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.generate(tiny_run, prompt, length=2, **options)


def test_a_file_of_prompts(tiny_run, tmp_path, capfd):
    path, out = tmp_path / "prompts.txt", tmp_path / "answers.jsonl"
    path.write_text("The \n\nx\n", encoding="utf-8")
    words = ["generate", str(tiny_run), "--prompts", str(path), "--length", "4", "--greedy"]
    assert main(words) == 0
    shown = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["prompt"] for row in shown] == ["The ", "x"]
    expected = mdnn.generate(tiny_run, ["The ", "x"], length=4, temperature=0.0)
    assert [row["answer"] for row in shown] == expected
    assert main([*words, "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == shown
    assert main([*words, "--prompt", "a"]) == 2
    assert "--prompts: expected no --prompt with it" in capfd.readouterr().err
    path.write_text("\n", encoding="utf-8")
    assert main(words) == 2
    assert "no prompts in" in capfd.readouterr().err
