"""Contact sheets of answers."""

import numpy as np
import pytest
import tiny

import mdnn
from mdnn.runs.run_folder import open_run
from mdnn.tasks import task_for
from mdnn.tasks.contact_sheet import contact_sheet
from mdnn.tasks.item_samples import output_like, sample_draws
from mdnn.tokens.items import Item


@pytest.mark.parametrize(
    ("item", "word"),
    [
        (Item("text", "seven"), "text"),
        (Item("audio", np.zeros(5, "int16")), "audio"),
        (Item("grey", np.zeros((3, 4), "uint8")), "grey 3x4"),
        (Item("image", np.zeros((3, 4, 3), "uint8")), "image 3x4"),
        (Item("grey_video", np.zeros((2, 3, 4), "uint8")), "grey_video 2x3x4"),
        (Item("video", np.zeros((2, 3, 4, 3), "uint8")), "video 2x3x4"),
    ],
)
def test_what_is_asked_for(item, word):
    assert output_like(item) == word


def test_every_direction_of_pairs_comes(tmp_path):
    lines = task_for(tiny.load_items(tmp_path)).validation
    drawn = sample_draws(lines, 6, 3, "pairs")
    assert [[item.kind for item in items] for items in drawn] == [
        ["text", "grey"],
        ["text", "audio"],
        ["grey", "text"],
        ["grey", "audio"],
        ["audio", "text"],
        ["audio", "grey"],
    ]
    again = sample_draws(lines, 6, 3, "pairs")
    assert all(
        a is b for one, two in zip(drawn, again, strict=True) for a, b in zip(one, two, strict=True)
    )
    assert [len(items) for items in sample_draws(lines, 4, 3, "any")] == [3] * 4


def test_a_sheet_of_answers(items_run, tmp_path, monkeypatch):
    asked = []

    def generate(run, prompts, output, decoding):
        asked.append((decoding, output, [[item.kind for item in prompt] for prompt in prompts]))
        answers = {"text": "$x\x00", "audio": np.zeros(0, "int16")}
        return [answers.get(output, np.zeros((4, 4), "uint8"))] * len(prompts)

    monkeypatch.setattr(mdnn, "generate", generate, raising=False)
    run, said = open_run(items_run), []
    task = task_for(run.config)
    run = run.__class__(tmp_path, run.config).holding(None)
    task.sample(run, 7, "It writes", said.append)
    file = tmp_path / "samples" / "step-0000007.png"
    assert said == [f"It writes: {file}"]
    assert file.read_bytes().startswith(b"\x89PNG")
    of_each = [
        ("grey 4x4", [["text"], ["audio"]]),
        ("audio", [["text"], ["grey"]]),
        ("text", [["grey"], ["audio"]]),
    ]
    assert asked == [
        (how, *one) for how in ("autoregressive", "parallel", "masked_diffusion") for one in of_each
    ]


def test_items_of_every_kind_are_drawn(tmp_path):
    row = [
        None,
        Item("text", "漢字 and more than there is room for, so that it is cut somewhere " * 2),
        Item("image", np.full((2, 3, 3), 9, "uint8")),
        Item("video", np.full((2, 2, 3, 3), 9, "uint8")),
        Item("grey_video", np.full((2, 2, 3), 9, "uint8")),
        Item("audio", np.arange(50, dtype="int16")),
    ]
    contact_sheet([row], list("abcdef"), tmp_path / "sheet.png", "title")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
