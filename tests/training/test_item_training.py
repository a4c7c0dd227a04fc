"""Training on items in every way to write: the run folder, figures, stop and go on, `fit`."""

import csv
import json
import os

import keras
import numpy as np
import pytest
import tiny
from backends import JIT

import mdnn
from mdnn.datasets.batches.item_batches import ItemBatches
from mdnn.datasets.batches.objectives import OBJECTIVES
from mdnn.models.head_options import decoding
from mdnn.models.loss import loss_for, token_nll
from mdnn.models.loss_model import LossModel
from mdnn.runs.run_folder import Run, open_run
from mdnn.runs.safetensors_io import read_arrays
from mdnn.tasks import task_for
from mdnn.tasks.item_evaluator import ItemEvaluator
from mdnn.tasks.item_task import item_statistics
from mdnn.tokens.packing import pack_items
from mdnn.training import run_training
from mdnn.training import trainer as loop
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step import make_step

PLAIN = tuple(
    f"train.optimizer.{key}" for key in ('name="sgd"', "beta_1=0", "weight_decay=0", "clip_norm=0")
)
FIGURES = {"loss", "bits_per_token", "tokens", "loss_per_item", "items"}
# Without a fold: what turn has no use for makes Keras' own trainer warn.
NO_FOLD = (
    'backbone.layer.0={kind="mix", mixer=[{wiring="causal"}]}',
    "context.grid=[4, 8]",
)


def test_a_run_folder(items_training, items_run):
    assert sorted(os.listdir(items_run)) == [
        "checkpoints",
        "config.toml",
        "item_statistics.json",
        "loss.png",
        "metrics.csv",
        "model.safetensors",
        "run.json",
        "source.json",
        "times.csv",
    ]
    run = open_run(items_run)
    expected = {"longest": {"text": 5, "grey": 16, "audio": 8}, "shapes": {"grey": [(4, 4)]}}
    assert run.item_statistics == expected
    assert run.item_tokenizer.rate == 1000
    assert run.item_tokenizer.count(tiny.picture("one")) == 16


def test_what_training_says(items_training, items_run):
    assert set(items_training) == FIGURES | {
        "modes",
        "parameters",
        "steps",
        "seconds",
        "tokens_per_second",
        "stopped",
        "signal",
        "run",
    }
    # 6 directions of 3 words, the end a unit of each answer.
    assert items_training["items"] == 18
    assert items_training["tokens"] == 2 * sum(
        len(word) + 1 + 16 + 1 + len(look[1]) + 1 for word, look in tiny.DIGITS.items()
    )
    assert list(items_training["modes"]) == ["autoregressive", "parallel", "masked_diffusion"]
    assert items_training["loss"] == items_training["modes"]["autoregressive"]["loss"]
    seconds = items_training["seconds"]
    # A context holds two thirds of an 11-unit word and sound, and the pictures.
    words = sum(len(word) + 16 + len(look[1]) for word, look in tiny.DIGITS.items())
    units = 300 * 16 * (words * 2 / 9 + 1)
    np.testing.assert_allclose(items_training["tokens_per_second"], units / seconds, rtol=0.02)
    evaluated = mdnn.evaluate(items_run)
    assert set(evaluated) == FIGURES | {"modes"}
    for way, found in evaluated["modes"].items():
        assert set(found) == FIGURES | {"kinds"}
        assert set(found["kinds"]) == {"audio", "grey", "text"}
        assert found["loss"] == pytest.approx(items_training["modes"][way]["loss"], rel=1e-5)


def test_it_learns_every_way(items_training, items_run):
    for found in items_training["modes"].values():
        # Guessing among three words alone is 1.1 nats.
        assert found["kinds"]["grey"]["loss"] < 0.6
    for way in ("parallel", "masked_diffusion"):
        assert items_training["modes"][way]["kinds"]["text"]["loss_per_item"] < 0.9
    with open(items_run / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train_loss"]) < 0.5 * float(rows[0]["train_loss"])
    checks = [row for row in rows if row["validation_loss"]]
    assert len(checks) == 2
    shares = task_for(open_run(items_run).config).mode_shares
    assert shares == {"autoregressive": 0.5, "parallel": 0.25, "masked_diffusion": 0.25}
    own = [float(checks[-1][f"validation_{way}_loss"]) for way in shares]
    mean = sum(share * value for share, value in zip(shares.values(), own, strict=True))
    assert float(checks[-1]["validation_loss"]) == pytest.approx(mean, abs=1e-4)
    # At once and by unmasking, answers alone are counted, in both figures.
    assert own[1] == pytest.approx(items_training["modes"]["parallel"]["loss"], abs=1e-4)


def test_nats_against_one_context_at_a_time(items_run):
    run = open_run(items_run)
    config, tokenizer = run.config, run.item_tokenizer
    found = mdnn.evaluate(run)["modes"]
    networks = task_for(config).networks(run.model)
    totals = {way: {} for way in ("autoregressive", "parallel")}
    for line in task_for(config).validation:
        for one, two in line.pairs:
            items = [item_of(line.parts[part][0]) for part in (one, two)]
            rows = [tokenizer.tokens(item) for item in items]
            context, spans = pack_items(
                rows, config.context.positions, 0, config.context.pad_to_multiple_of
            )
            answer = np.arange(spans[1][0], spans[1][1] + 1)
            blanked = context.copy()
            kind = items[1].kind
            shape = items[1].value.shape if kind != "text" else (len(items[1].value),)
            blanked[answer[:-1]] = tokenizer.masks(kind, shape, 1)
            blanked[answer[-1]] = tokenizer.end_mask(kind, shape, 1)
            for way, tokens in (("autoregressive", context), ("parallel", blanked)):
                targets = np.zeros_like(context)
                targets[answer - 1] = context[answer]
                scores = networks[way]({"tokens": tokens[None], "targets": targets[None]})
                nats = token_nll(targets[None], scores, **decoding(config))[0]
                totals[way].setdefault(kind, []).append(float(keras.ops.sum(nats)))
    turn = {kind: own["loss_per_item"] for kind, own in found["autoregressive"]["kinds"].items()}
    assert turn == pytest.approx(
        {k: np.mean(v) for k, v in totals["autoregressive"].items()}, rel=1e-4
    )
    # Pictures have no further blanks after them.
    once = found["parallel"]["kinds"]["grey"]["loss_per_item"]
    assert once == pytest.approx(np.mean(totals["parallel"]["grey"]), rel=1e-4)


def item_of(entry):
    return entry.read() if hasattr(entry, "read") else entry


def test_other_lines(items_run):
    splits = task_for(open_run(items_run).config).splits
    result = mdnn.evaluate(items_run, splits.train[:1])
    # Three alternatives of the picture and the sound: each pair with one of them three times.
    assert result["items"] == 18
    assert (
        result["modes"]["parallel"]["loss"] != mdnn.evaluate(items_run)["modes"]["parallel"]["loss"]
    )
    with pytest.raises(mdnn.MdnnError, match=r"data: expected a list of Example .*, received str"):
        mdnn.evaluate(items_run, "a text")


def test_lines_for_a_network_of_text(tiny_run):
    with pytest.raises(mdnn.MdnnError, match="data: expected a string or token ids, received list"):
        mdnn.evaluate(tiny_run, [])


def interrupted(config, folder, monkeypatch, at, steps):
    """The ways before and after step `at`; trains whole, and stopped and resumed."""
    whole = mdnn.train(config, folder / "whole", show=False)
    real, ways = loop.make_step, []

    def make(*args, **how):
        step = real(*args, **how)

        def run(batch, rate, way):
            if len(ways) == at:
                monkeypatch.setattr(loop, "make_step", real)
                raise KeyboardInterrupt
            ways.append(way)
            loss = step(batch, rate, way)
            run.fault = step.fault
            return loss

        run.sync = step.sync
        return run

    monkeypatch.setattr(loop, "make_step", make)
    first = mdnn.train(config, folder / "parts", show=False)
    assert (first["stopped"], first["steps"]) == (True, at)
    second = mdnn.train(config, folder / "parts", resume=True, show=False)
    assert (second["stopped"], second["steps"]) == (False, steps)
    assert second["modes"] == whole["modes"]
    for file in ("model.safetensors", f"checkpoints/step-{steps:09}.safetensors"):
        a, b = (read_arrays(folder / name / file)[0] for name in ("whole", "parts"))
        assert set(a) == set(b)
        for name, array in a.items():
            np.testing.assert_array_equal(array, b[name], err_msg=name)
    batches = task_for(config).batches
    both = [{batches.objective(step) for step in part} for part in (range(at), range(at, steps))]
    assert both == [set(OBJECTIVES), set(OBJECTIVES)]


# With dropout, whose random state is part of what goes on.
RESUMED = (*tiny.QUICK, "train.batch_size=2", "seed=1", "backbone.layer.1.dropout=0.2")


@pytest.mark.long
def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    config = tiny.load_items(tmp_path, *RESUMED, "train.objectives.autoregressive=1")
    # Figures would take longer than training; the text below has them.
    monkeypatch.setattr(ItemEvaluator, "metrics", lambda *_, **__: {"modes": {}})
    interrupted(config, tmp_path, monkeypatch, at=10, steps=20)


@pytest.mark.long
def test_a_text_in_every_way_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    every = ("train.objectives.parallel=1", "train.objectives.masked_diffusion=1")
    config = tiny.load_config(tmp_path, *RESUMED, *every)
    interrupted(config, tmp_path, monkeypatch, at=10, steps=20)
    result = mdnn.evaluate(tmp_path / "parts")
    text = {"loss", "bits_per_character", "characters"}
    assert set(result) == text | {f"{name}_sliding" for name in text} | {"modes"}
    assert {way: set(found) for way, found in result["modes"].items()} == dict.fromkeys(
        OBJECTIVES, text
    )
    assert result["loss"] == result["modes"]["autoregressive"]["loss"]


def test_a_text_all_at_once(tmp_path):
    settings = (
        "train.objectives.autoregressive=0",
        "train.objectives.parallel=1",
        "train.steps=60",
    )
    config = tiny.load_config(
        tmp_path, *tiny.QUICK, *settings, "train.sample=5", "train.num_evaluations=2"
    )
    result = mdnn.train(config, tmp_path / "run", show=False)
    # A sample would be written in turn, which this network has not learned.
    assert not (tmp_path / "run" / "samples").exists()
    assert list(result["modes"]) == ["parallel"]
    evaluated = mdnn.evaluate(tmp_path / "run")
    assert "loss_sliding" not in evaluated
    assert evaluated["loss"] == pytest.approx(result["loss"], rel=1e-5)
    # Better than by frequency alone (2.9 nats).
    assert result["loss"] < 2.7
    with pytest.raises(mdnn.MdnnError, match="at least 9 characters to evaluate, received 8"):
        mdnn.evaluate(tmp_path / "run", "The cat ")


@pytest.mark.parametrize(
    "way", [pytest.param(w, marks=pytest.mark.long) if w == "parallel" else w for w in OBJECTIVES]
)
def test_a_step_of_the_loop_is_a_step_of_fit(tmp_path, way):
    objectives = [
        f"train.objectives.{name}={int(name in ('autoregressive', way))}" for name in OBJECTIVES
    ]
    config = tiny.load_items(tmp_path, *PLAIN, *objectives, *NO_FOLD, "loss.prompt=0.5")
    model = mdnn.build(config)
    data = task_for(config)
    one = mdnn.config.training_tables.Objectives(**{"autoregressive": 0.0, way: 1.0})
    batches = ItemBatches(
        data.splits.train,
        data.tokenizer,
        config.context,
        3,
        5,
        one,
        "pairs",
        prompt_weight=0.5,
        steps=1,
        # To learn its shapes, Keras may ask for the only batch of an epoch once more.
        repeat=True,
    )
    networks, loss = task_for(config).networks(model), loss_for(config)
    start = model.get_weights()
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    step = make_step(networks, loss, optimizer)
    loop_loss = float(step(batches.at(0), 0.5, way))
    step.sync()
    by_loop = model.get_weights()

    model.set_weights(start)
    network = networks[way]
    network.compile(keras.optimizers.SGD(0.5), loss=loss, jit_compile=JIT)
    history = network.fit(batches, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_allclose(loop_loss, history.history["loss"][0], rtol=1e-5)
    moved = 0.0
    for before, a, b in zip(start, by_loop, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        moved = max(moved, float(np.abs(a - before).max()))
    assert moved > 1e-2


def test_weights_count(tmp_path):
    config = tiny.load_items(tmp_path, *NO_FOLD)
    model, batches = mdnn.build(config), task_for(config).batches
    turn = next(step for step in range(9) if batches.objective(step) == "autoregressive")
    batch = batches.at(turn)
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    step = make_step(task_for(config).networks(model), loss_for(config), optimizer)
    even = float(step(batch, 0.0, "autoregressive"))
    positions = batch["weights"].shape[1]
    half = np.where(np.arange(positions) < positions // 2, 2 * batch["weights"], 0).astype(
        "float32"
    )
    assert float(step(batch | {"weights": half}, 0.0, "autoregressive")) != pytest.approx(
        even, rel=1e-3
    )


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="TensorFlow needs no lengths")
def test_lengths_of_picks_are_foreseen(tmp_path):
    from mdnn.training.steps.step_jax import FORESEEN, MORE, foreseen_sizes

    config = tiny.load_items(tmp_path)
    batches, model = task_for(config).batches, mdnn.build(config)
    loss_model = LossModel(model, loss_for(config))
    (sizes,) = foreseen_sizes(dict.fromkeys(OBJECTIVES, loss_model), batches).values()
    assert {"text", "grey", "audio", "end"} <= set(sizes)
    for step in range(FORESEEN):
        kinds = batches.at(step)["targets"][..., 0]
        assert (kinds == 4).sum() * MORE < sizes["grey"] + 1


def test_only_networks_that_share_their_weights_learn_together(tmp_path):
    config = tiny.load_config(tmp_path)
    one, two = mdnn.build(config), mdnn.build(config)
    optimizer = make_optimizer(config.train.optimizer, one.trainable_variables)
    with pytest.raises(ValueError, match="share their variables"):
        make_step({"autoregressive": one, "parallel": two}, loss_for(config), optimizer)


def test_heads_start_from_what_is_answered(tmp_path):
    data = task_for(tiny.load_items(tmp_path))
    kinds, counts = np.unique(data.head_tokens()[:, 0], return_counts=True)
    # Text, grey, audio and the end: one in each of 3 words x 6 directions x 3 alternatives.
    assert kinds.tolist() == [1, 4, 7, 9]
    assert counts[-1] == 54


def test_words_come_from_the_texts(tmp_path):
    words = ('tokens.modalities=["text", "word", "grey", "audio"]', "tokens.words=2")
    config = tiny.load_items(tmp_path, *words)
    data = task_for(config)
    assert data.words == ("one", "seven")
    data.write_about(tmp_path)
    run = Run(tmp_path, config, data.words)
    assert run.item_tokenizer.count("seven") == 1
    assert run.item_statistics["longest"] == {"text": 3, "grey": 16, "audio": 8}
    # A run that goes on keeps its table.
    assert task_for(config, ("two",)).words == ("two",)


def test_a_folder_called_as_a_source(tmp_path, monkeypatch):
    config = tiny.load_items(tmp_path, "data.source=digits")
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run_training.anchored(config).data.source == "digits"
    other = tiny.load_items(tmp_path, "data.source=manifest.jsonl")
    assert run_training.anchored(other).data.source == str(tmp_path / "manifest.jsonl")


def test_shapes_that_were_seen(tmp_path):
    item = mdnn.Item("video", np.zeros((3, 2, 1, 3), "uint8"))
    grey = mdnn.Item("grey", np.zeros((2, 5), "uint8"))
    line = mdnn.datasets.Example(
        ((item,), (grey, mdnn.Item("grey", np.zeros((4, 4), "uint8")), grey))
    )
    assert item_statistics([line], mdnn.ItemTokenizer()) == {
        "longest": {"video": 6, "grey": 16},
        "shapes": {"video": [[3, 2, 1]], "grey": [[2, 5], [4, 4]]},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "item_statistics.json cannot be read"),
        ("{", "item_statistics.json: not JSON"),
        ("[]", "item_statistics.json: expected the longest items and the shapes of each kind"),
        (
            '{"longest": {"smell": 3}, "shapes": {}}',
            "item_statistics.json: expected the longest items",
        ),
    ],
)
def test_a_damaged_list_of_items(tmp_path, text, message):
    if text is not None:
        (tmp_path / "item_statistics.json").write_text(text)
    run = Run(tmp_path, None)
    with pytest.raises(mdnn.MdnnError, match=message):
        run.item_statistics  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("data.validation=0",), "'.*' has no validation examples; expected a share above 0"),
        (
            ("context.grid=[3, 8]",),
            "jsonl:1 one: its items and the end token need up to 25 positions, a context",
        ),
        (('tokens.modalities=["text", "grey"]',), "expected an item of the kinds text, grey"),
        (("data.source=python-docs",), "'python-docs' is a text"),
        (("data.source=/no/such",), "received '/no/such'"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(tmp_path, settings, message):
    config = tiny.load_items(tmp_path, *tiny.QUICK, *settings)
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.train(config, tmp_path / "new" / "run", show=False)
    assert not (tmp_path / "new").exists()


def test_a_line_that_is_too_long_to_validate(tmp_path):
    config = tiny.load_items(tmp_path, *tiny.QUICK)
    line = {"items": [{"text": "x" * 40}, {"image": "one-0.png"}], "split": "validation"}
    with open(tmp_path / "manifest.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(mdnn.MdnnError, match=r"manifest\.jsonl:4: its items and the end"):
        mdnn.train(config, tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()
