"""Prompts read what is stored and nothing of each other; passages and questions about them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from backends import jacobian, to_numpy

import mdnn
from mdnn.config.recall_rules import Recall
from mdnn.datasets.recall.recall_examples import RecallExamples
from mdnn.tasks import task_for

SENTENCE = "It was a quiet morning in spring when somebody opened the old green door to look"
TEXT = " ".join(np.random.default_rng(1).choice(SENTENCE.split(), 1200))
SMALL = ["backbone.width=8", "backbone.depth=1", "backbone.layer.1.width=8", "train.batch_size=2"]
SMALL += ["backbone.layer.0.mixer.0.groups=2", "recall.stored=3", "context.grid=[5,16]"]
SMALL += ["backbone.layer.2.mixer.0.stored=3", "recall.words=2", "recall.contexts=4"]


def small(path, *settings):
    path.write_text(TEXT, encoding="utf-8")
    return mdnn.load_config("database", [*SMALL, f"data.source={path}", *settings])


def test_a_prompt_reads_what_is_stored_and_no_other_prompt(tmp_path):
    network = mdnn.build(small(tmp_path / "text.txt"))
    rng = np.random.default_rng(3)
    for weight in network.trainable_variables:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    rows, columns, width = 5, 16, 8
    x = rng.normal(size=(rows, columns, width)).astype("float32")
    found = jacobian(lambda x: network.backbone(x), x)
    found = np.abs(found.reshape(rows, columns * width, rows, columns * width))
    reads = found.max(axis=(1, 3)) > 0
    expected = np.eye(rows, dtype=bool)
    expected[3:, :3] = True
    np.testing.assert_array_equal(reads, expected)


def test_passages_and_questions():
    ids = np.frombuffer(TEXT.encode("utf-32-le"), dtype="<i4")
    recall = Recall(kind="passages", stored=4, words=3, values=8)
    contexts, answers = RecallExamples(recall, 7 * 24, ids, row=24).draw(1, 2, 5)
    assert contexts.shape == (5, 7 * 24 + 1)
    assert answers.shape == (5, 3, 1)
    for row, places in zip(contexts, answers, strict=True):
        lines = ["".join(map(chr, line)) for line in row[:-1].reshape(7, 24)]
        stored = {line[0]: line[1:] for line in lines[:4]}
        assert len(stored) == len(set(stored.values())) == 4
        assert all(passage in TEXT for passage in stored.values())
        for line, (place,) in zip(lines[4:], places, strict=True):
            assert chr(row[place + 1]) == line[-1]
            question = line[:-1].strip()
            assert 1 <= len(question.split()) <= 3
            assert f" {question} " in f" {stored[line[-1]]} "
    noisy = Recall(kind="passages", stored=4, words=3, values=8, noise=1.0)
    others = RecallExamples(noisy, 7 * 24, ids, row=24).draw(1, 2, 5)[0]
    np.testing.assert_array_equal(others[:, : 4 * 24], contexts[:, : 4 * 24])
    assert (others != contexts).sum() > 50


def test_it_trains_and_answers(tmp_path):
    config = small(tmp_path / "text.txt", "train.steps=3")
    result = mdnn.train(config, tmp_path / "run", show=False)
    assert 0 <= result["right"] <= result["right_in_10"] <= 1
    again = mdnn.evaluate(tmp_path / "run")
    assert again["answers"] == 8
    (line,) = task_for(config).format_metrics(again)
    assert "among the ten likeliest" in line
    # The answer of a prompt is that of the whole network, whatever stands in other rows.
    task, network = task_for(config), mdnn.runs.run_folder.open_run(tmp_path / "run").model
    batch, _ = task.validation.with_answers(0)
    other = batch["tokens"].copy()
    other[:, 3 * 16 : 4 * 16, 1:4] = 7
    one, two = (to_numpy(network.hidden(tokens)) for tokens in (batch["tokens"], other))
    np.testing.assert_allclose(one[:, 4 * 16 :], two[:, 4 * 16 :], atol=1e-6)
    assert np.abs(one[:, 3 * 16 : 4 * 16] - two[:, 3 * 16 : 4 * 16]).max() > 1e-4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("context.grid=[3,16]", r"context\.grid: expected two axes for passages: more rows than"),
        ("context.grid=[5,4,4]", r"expected two axes for passages|axes"),
        ("recall.values=2", r"recall\.values: expected at least recall\.stored = 3"),
        ("backbone.layer.2.mixer.0.stored=2", r"expected stored = 3, as in \[recall\], received 2"),
    ],
)
def test_what_a_config_refuses(tmp_path, setting, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        small(tmp_path / "text.txt", setting)


def test_a_text_of_too_few_passages():
    ids = np.frombuffer(TEXT[:90].encode("utf-32-le"), dtype="<i4")
    with pytest.raises(mdnn.MdnnError, match=r"recall\.stored: 9 passages of 15 characters need"):
        RecallExamples(Recall(kind="passages", stored=9), 12 * 16, ids, row=16)


def test_ranks_of_bm25(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import database

    for name in ("database", "benchmark_runs"):
        sys.modules.pop(name)
    stored = ["1the cat sat on a mat", "2the dog ate a bone  ", "3no cat here and there"]
    questions = [" dog ate  2", " cat here 3", " cat sat on1", ' "x" OR  *1', "         2"]
    assert database.bm25_ranks(stored, questions) == [0, 0, 0, 3, 3]
