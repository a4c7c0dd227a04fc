"""Evaluation against a loop that asks the network for one character at a time."""

import numpy as np
import pytest

import mdnn
from mdnn.runs.run_folder import open_run
from mdnn.tasks import batch_evaluator
from mdnn.tasks.batch_evaluator import contexts_at_once, per_character
from mdnn.tasks.positions.position_losses import PositionLosses, format_positions

POSITIONS = 8
# 61 characters: not a multiple of the positions; with some that training never saw.
TEXT = "The cat ate 3 naïve dogs.\n\nTHE END 😀, said the mat. A \u0000 or so?"


def log_softmax(scores):
    return scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)


def start_of(number, stride):
    """Where the window begins that predicts the unit at a place, windows `stride` apart."""
    last = number - 1  # the position before it
    return 0 if last < POSITIONS else -(-(last - POSITIONS + 1) // stride) * stride


def nats_one_by_one(run, text, stride):
    """Nats of each unit but the first, each from its own window, and what was predicted."""
    run = open_run(run)
    rows = run.tokenizer.tokens(run.tokenizer.ids(text))[:, :4]
    steps = [("text", 17), ("text", 256), ("text", 256)]
    if run.words:
        steps = [("modality", 2), *steps, ("word", 256), ("word", 256)]
    inputs = np.zeros((2, len(rows) - 1, POSITIONS, 8), "int32")
    for number in range(1, len(rows)):
        start = start_of(number, stride)
        for k, place in enumerate(range(start, number)):
            inputs[0, number - 1, k, :5] = [*rows[place], k]
            inputs[1, number - 1, k, :4] = rows[place + 1]
    scores = np.asarray(run.model({"tokens": inputs[0], "targets": inputs[1]}), "float64")
    nats = np.zeros(len(rows) - 1)
    for number in range(1, len(rows)):
        kind, *answer = rows[number]
        score = scores[number - 1, number - 1 - start_of(number, stride)]
        name = {1: "text", 2: "word"}[kind]
        begin, place = 0, 0
        for step, classes in steps:
            piece = log_softmax(score[begin : begin + classes])
            begin += classes
            if step == "modality":
                nats[number - 1] -= piece[kind - 1]
            elif step == name:
                nats[number - 1] -= piece[answer[place]]
                place += 1
    return nats


@pytest.mark.parametrize("stride", [8, 4])
def test_nats_of_characters(tiny_run, stride):
    result = mdnn.evaluate(tiny_run, TEXT)
    end = "" if stride == 8 else "_sliding"
    expected = nats_one_by_one(tiny_run, TEXT, stride)
    assert result[f"characters{end}"] == len(TEXT) - 1 == len(expected)
    np.testing.assert_allclose(result[f"loss{end}"], expected.mean(), rtol=1e-5)
    bits = expected.mean() / np.log(2)
    np.testing.assert_allclose(result[f"bits_per_character{end}"], bits, rtol=1e-5)


def test_memory_limits_the_contexts_of_a_call():
    """Long contexts, large vocabularies and members in tandem are evaluated fewer at a time."""
    for changes, contexts in (
        ([], 32),
        (["tandem.members=10"], 3),
        (["tandem.members=64"], 1),
        (["context.grid=[64, 512]"], 4),
        (["context.grid=[64, 512]", "tandem.members=2"], 2),
    ):
        assert contexts_at_once(mdnn.load_config("text-grid", changes), 32) == contexts
    subwords = mdnn.load_config("text-bpe", ["tokens.subwords=32000"])
    assert contexts_at_once(subwords, 32) == 2**27 // 32_000 // 256


def test_losses_by_position(tiny_run, words_run):
    result = mdnn.evaluate(tiny_run, TEXT, sliding=False, by_position=True)
    # The context has 8 positions: one range.
    (only,) = result["by_position"]
    assert (only["first"], only["last"], only["characters"]) == (0, 7, len(TEXT) - 1)
    assert only["loss"] == pytest.approx(result["loss"], rel=1e-6)
    result = mdnn.evaluate(words_run, TEXT, sliding=False, by_position=True)
    assert result["by_position"][0]["characters"] == result["characters"]


def test_ranges_of_positions():
    places = PositionLosses(100)
    nats = np.arange(100.0)
    places.add(np.stack([nats, nats]), np.ones((2, 100)))
    rows = places.table()
    assert [(row["first"], row["last"]) for row in rows] == [(0, 15), (16, 31), (32, 63), (64, 99)]
    assert [row["characters"] for row in rows] == [32, 32, 64, 72]
    assert [row["loss"] for row in rows] == [7.5, 23.5, 47.5, 81.5]
    assert format_positions(rows)[1].split() == ["0", "to", "15", "7.5000", "32"]


def test_windows_that_slide_see_more(tiny_run):
    # Every window in the middle of the training text has seen half a context at least.
    result = mdnn.evaluate(tiny_run)
    assert result["loss_sliding"] < result["loss"]
    assert result["characters_sliding"] == result["characters"]


@pytest.mark.parametrize("stride", [8, 4])
def test_words_are_counted_by_their_letters(words_run, stride):
    result = mdnn.evaluate(words_run, TEXT)
    run = open_run(words_run)
    units = run.tokenizer.ids(TEXT)
    assert len(units) < len(TEXT)
    end = "" if stride == 8 else "_sliding"
    expected = nats_one_by_one(words_run, TEXT, stride)
    assert result[f"characters{end}"] == len(TEXT) - int(run.tokenizer.lengths(units[:1])[0])
    nats = expected.sum() / result[f"characters{end}"]
    np.testing.assert_allclose(result[f"loss{end}"], nats, rtol=1e-5)


def test_without_a_text_the_validation_text_is_taken(tiny_training, tiny_run):
    result = mdnn.evaluate(tiny_run, sliding=False)
    assert set(result) == {"loss", "bits_per_character", "characters"}
    assert result["characters"] == tiny_training["characters"]
    assert result["loss"] == pytest.approx(tiny_training["loss"], rel=1e-6)


@pytest.mark.parametrize("text", ["", "a"])
def test_too_short_a_text(tiny_run, text):
    message = f"at least two characters to evaluate, received {len(text)}$"
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.evaluate(tiny_run, text)


def test_progress_goes_from_nothing_to_all(tiny_run):
    parts = []
    mdnn.evaluate(tiny_run, "The cat sat on the mat. " * 30, progress=parts.append)
    assert parts == sorted(parts)
    assert len(parts) > 2
    assert 0 < parts[0] < 0.5
    assert parts[-1] == pytest.approx(1.0)


def test_a_second_call_traces_nothing(tiny_run, monkeypatch):
    """An opened run keeps what is compiled, for each number of steps, and few of them."""
    run, traced = open_run(tiny_run), []
    call = type(run.model.embedding).call

    def counted(self, *args, **kwargs):
        traced.append(self)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(type(run.model.embedding), "call", counted)
    first = mdnn.evaluate(run, TEXT)
    assert traced
    for data in (TEXT, TEXT[::-1]):
        traced.clear()
        mdnn.evaluate(run, data)
        assert not traced
    assert mdnn.evaluate(run, TEXT) == first
    monkeypatch.setattr(batch_evaluator, "MAX_EVALUATORS", 2)
    for steps in (2, 3):
        mdnn.evaluate(run, TEXT[:9], steps=steps, sliding=False)
    assert len(run.model.evaluators) == 2
    # Weights that were changed count.
    run.model.heads.biases["text_byte_3"].assign_add(np.arange(256.0) / 50)
    assert mdnn.evaluate(run, TEXT)["loss"] != first["loss"]


def test_figures():
    found = per_character(np.float64(3.0), np.int64(2))
    assert found == {"loss": 1.5, "bits_per_character": 1.5 / np.log(2), "characters": 2}
    assert type(found["characters"]) is int


def test_what_is_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    for name, what in (("none", "nothing"), ("file", "a file")):
        with pytest.raises(mdnn.MdnnError, match=f"{name} is not a run folder: there is {what}"):
            mdnn.evaluate(tmp_path / name, "some text")
    with pytest.raises(mdnn.MdnnError, match=r"is not a run folder: it has no config\.toml"):
        mdnn.evaluate(tmp_path, "some text")
