"""Prompts that a network may be tried with, and what the server's page shows of a network."""

import keras
import pytest
import tiny

from mdnn.cli.demos.demo_text import paragraph, shell_word
from mdnn.serving.server.served_models import open_served_run
from mdnn.tasks.registry import task_for

LINE = "It was a bright cold day in April, and the clocks were striking thirteen"


def test_beginnings_of_lines_from_all_over_the_validation_text(tmp_path):
    text = "".join(f"{number:04d} --\n{LINE} {number}\n" for number in range(2000))
    config = tiny.load_config(tmp_path, text=text)
    task = task_for(config)
    prompts = task.example_prompts()
    assert prompts == [LINE[:48].rpartition(" ")[0]]
    assert all(prompt in task.tokenizer.text(task.validation) for prompt in prompts)


def test_a_text_without_prose_has_none(tmp_path):
    config = tiny.load_config(tmp_path, text="0 1 2 3\n" * 500)
    assert task_for(config).example_prompts() == []


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow alone serves")
def test_what_the_page_shows(tiny_run):
    about = open_served_run(tiny_run).about
    assert about["source"] == "text.txt"
    assert about["parameters"] > 1000
    assert about["examples"] == ["The cat sat on the mat. The dog ate the rat. Ça"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("body is run.\n\n   The next", "body is run."),
        ("is    fine\n" + " " * 9 + "table", "is    fine"),
        ("is run.\n  code = 1", "is run."),
        ("one line\nand one more", "one line\nand one more"),
        ("whole", "whole"),
    ],
)
def test_an_answer_ends_with_its_paragraph(text, expected):
    assert paragraph(text, least=0) == expected


def test_a_heading_alone_is_no_answer():
    body = "A class is made when its body has been run to the end, line after line."
    assert paragraph(f"is defined\n\n{body}\n\nThe next") == f"is defined\n\n{body}"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("train", "train"),
        ("If a class ", "'If a class '"),
        ("\n\n", r"$'\n\n'"),
        ("it's", "'it'\"'\"'s'"),
        ("it's\t", r"$'it\'s\t'"),
    ],
)
def test_commands_are_shown_as_they_are_typed(word, expected):
    assert shell_word(word) == expected
