"""Recall: contexts whose answers follow from what they say, their figures, and what is refused."""

import re

import keras
import numpy as np
import pytest
from networks import randomize

import mdnn
from mdnn.config.growing import stage_configs
from mdnn.config.recall_rules import Recall
from mdnn.datasets.recall.recall_examples import RecallExamples
from mdnn.tasks import task_for

TEXT = "It was a quiet morning and nothing happened at all. " * 40
SMALL = ["backbone.width=8", "backbone.depth=1", "backbone.layer.1.width=8"]


def text(row):
    return "".join(map(chr, row))


def drawn(positions, count=5, seed=1, step=2, **words):
    ids = np.frombuffer(TEXT.encode("utf-32-le"), dtype="<i4")
    return RecallExamples(Recall(**words), positions, ids).draw(seed, step, count)


def answers_of(ids, answers):
    return [
        ["".join(chr(row[k + 1]) for k in places) for places in each]
        for row, each in zip(ids, answers, strict=True)
    ]


def test_values_of_keys():
    ids, answers = drawn(40, kind="pairs", pairs=7, queries=5, keys=9, values=4)
    assert ids.shape == (5, 41)
    assert answers.shape == (5, 5, 1)
    for row, found in zip(ids, answers_of(ids, answers), strict=True):
        table = dict(zip(row[:14:2].tolist(), row[1:14:2].tolist(), strict=True))
        assert len(table) == 7
        behind = re.findall(r"[^ ]{2}", text(row[14:]))
        assert len({key for key, _ in behind}) == 5
        assert all(table[ord(key)] == ord(value) for key, value in behind)
        assert sorted(found) == sorted(value for _, value in behind)
    assert not np.array_equal(ids, drawn(40, step=3, kind="pairs", pairs=7, keys=9, values=4)[0])


def test_symbols_are_copied_in_order():
    ids, answers = drawn(30, kind="copying", symbols=6)
    for row, found in zip(ids, answers_of(ids, answers), strict=True):
        body, bar, copied = text(row).partition("|")
        assert bar
        assert body.replace(".", "") == copied == "".join(found)
        assert len(body) == 24


@pytest.mark.parametrize("needles", [1, 3])
def test_a_needle_in_a_text(needles):
    ids, answers = drawn(300, kind="needle", needles=needles, digits=5)
    places = set()
    for row, (found,) in zip(ids, answers_of(ids, answers), strict=True):
        said = re.findall(r"\nThe number of ([a-z]+) is (\d{5})\.\n", text(row))
        (question,) = re.findall(r"\nThe number of ([a-z]+) is (\d{5})$", text(row))
        assert len(said) == needles
        assert question in said
        assert found == question[1]
        places.add(text(row).index(question[0]))
        rest = re.sub(r"\nThe number of [a-z]+ is \d{5}(\.\n)?", "", text(row))
        assert rest in TEXT
    assert len(places) > 2


def test_several_needles_are_asked():
    ids, answers = drawn(400, kind="needle", needles=5, queries=3, digits=4)
    assert answers.shape == (5, 3, 4)
    for row, found in zip(ids, answers_of(ids, answers), strict=True):
        body, questions = text(row)[:-90], text(row)[-90:]
        said = dict(re.findall(r"\nThe number of ([a-z]+) is (\d{4})\.\n", body))
        asked = re.findall(r"\nThe number of ([a-z]+) is (\d{4})", questions)
        assert len(asked) == len(dict(asked)) == 3
        assert [said[name] for name, _ in asked] == found == [number for _, number in asked]


@pytest.mark.parametrize("kind", ["pairs", "copying", "needle"])
def test_figures_are_those_of_whole_scores(kind, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    settings = [f"data.source={path}", "data.validation=0.5", "recall.contexts=3"]
    settings += ["recall.digits=2"] * (kind == "needle")
    config = mdnn.load_config(f"recall-{kind}", [*SMALL, *settings])
    task = task_for(config)
    network = mdnn.build(config)
    # All characters of an answer are right by chance in some contexts.
    for weight in network.trainable_variables:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape) * 0.3)
    data = task.validation
    assert (data.steps, data.batch_size) == (1, 3)
    metrics = task.evaluate(network)
    batch, answers = data.with_answers(0)
    scores = keras.ops.convert_to_numpy(network(batch))
    context = np.arange(3)[:, None, None]
    nats, right, start = 0.0, True, 0
    for step in network.heads.steps:
        logits = scores[context, answers, start : start + step.classes].astype("float64")
        start += step.classes
        answer = np.asarray(step.answer(batch["targets"]))[context, answers]
        chosen = np.take_along_axis(logits, answer[..., None], axis=-1)[..., 0]
        nats = nats + np.logaddexp.reduce(logits, axis=-1) - chosen
        right = right & (logits.argmax(axis=-1) == answer)
    assert metrics["loss"] == pytest.approx(nats.mean(), rel=1e-4)
    assert metrics["right"] == pytest.approx(right.all(axis=-1).mean())
    assert metrics["right"] <= metrics["right_in_10"] <= 1
    assert metrics["exact"] == pytest.approx(right.all(axis=(1, 2)).mean())
    assert metrics["answers"] == answers.shape[0] * answers.shape[1]
    assert task.evaluator(task.networks(network)).quick(data)["autoregressive"] == (
        pytest.approx(nats.mean(), rel=1e-4)
    )


def test_long_contexts_are_evaluated_in_pieces():
    """Of 8 rows two at a time; needles end in the last piece, values of keys stand in several."""
    shares = []

    def figures(slab):
        settings = [f"backbone.slab={slab}", "context.grid=[8, 8]", "recall.contexts=6"]
        config = mdnn.load_config("recall-pairs", [*SMALL, *settings])
        network = randomize(mdnn.build(config))
        assert network.decoder().piece == slab
        task = task_for(config)
        evaluator = task.evaluator(task.networks(network))
        return evaluator.metrics(task.validation, shares.append)

    whole = figures(0)
    assert shares[-1:] == [1.0]
    shares.clear()
    pieces = figures(16)
    assert len(shares) > 4
    assert shares == sorted(shares)
    assert pieces == pytest.approx(whole, rel=1e-4)


def test_a_stage_takes_more_pairs():
    small = ["recall.pairs=4", "context.grid=[1, 16]"]
    stage = "train.stage=[{at = 0.5, recall.pairs = 16, context.grid = [4, 16]}]"
    stages = stage_configs(mdnn.load_config("recall-pairs", [*small, stage]))
    assert [config.recall.pairs for config in stages] == [4, 16]


def test_it_trains_evaluates_and_answers(tmp_path):
    config = mdnn.load_config("recall-pairs", [*SMALL, "train.steps=3", "recall.contexts=8"])
    result = mdnn.train(config, tmp_path / "run", show=False)
    assert 0 <= result["right"] <= 1
    again = mdnn.evaluate(tmp_path / "run")
    assert again["contexts"] == 8
    assert again["loss"] == pytest.approx(result["loss"], rel=1e-4)
    task = task_for(config)
    assert task.format_metrics(again)[0].startswith(f"{again['right']:.2%} of 128 answers right")
    (prompt,) = task.example_prompts(1)
    assert len(mdnn.generate(tmp_path / "run", prompt, length=1)) == 1
    with pytest.raises(mdnn.MdnnError, match="draws its contexts; expected no source"):
        task.open_source("python-docs")
    with pytest.raises(mdnn.MdnnError, match="data: expected RecallBatches"):
        mdnn.evaluate(tmp_path / "run", "a text")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("recall.pairs=17", r"context\.grid: expected at least 67 positions .*received 64"),
        ("recall.queries=17", r"recall\.queries: expected at most recall\.pairs = 16, received 17"),
        ("recall.keys=15", r"recall\.keys: expected at least recall\.pairs = 16, received 15"),
        ("recall.kind=other", r"recall\.kind: expected one of pairs, copying, needle"),
        ("tokens.items=true", r"tokens\.items: expected False"),
        ("train.objectives.parallel=1.0", r"objectives\.parallel: expected 0\.0"),
    ],
)
def test_what_a_config_refuses(setting, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.load_config("recall-pairs", [setting])
    with pytest.raises(mdnn.MdnnError, match=r"recall: it belongs to context\.layout = 'recall'"):
        mdnn.load_config("text", ["recall.pairs=3"])


def test_a_text_shorter_than_a_context():
    with pytest.raises(mdnn.MdnnError, match=r"needles in 3000 positions need a text of at least"):
        drawn(3000, kind="needle")
