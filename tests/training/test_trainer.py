"""The loop: what a run folder holds, budgets, stopping and going on, what is refused."""

import csv
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.generation import text_decoder
from mdnn.models.compiling import without_xla
from mdnn.runs.safetensors_io import read_arrays
from mdnn.tasks.batch_evaluator import per_character
from mdnn.tasks.text_task import TextTask
from mdnn.training import checkpoint
from mdnn.training import trainer as loop

CHECKPOINT = "checkpoints/step-000000020.safetensors"


def rows(run):
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    with open(run / "times.csv", newline="", encoding="utf-8") as file:
        for row, times in zip(found, csv.DictReader(file), strict=True):
            assert row["step"] == times["step"]
            row["seconds"] = times["seconds"]
    return found


def stop(monkeypatch, at, error=KeyboardInterrupt):
    """Makes the step number `at` of the next training raise an error."""
    real = loop.make_step

    def make(*args, **how):
        step, calls = real(*args, **how), []

        def run(batch, rate, way):
            if len(calls) == at:
                monkeypatch.setattr(loop, "make_step", real)
                raise error
            calls.append(rate)
            loss = step(batch, rate, way)
            run.fault = step.fault
            return loss

        run.sync, run.copy_values = step.sync, step.copy_values
        return run

    monkeypatch.setattr(loop, "make_step", make)


class Pretence:
    """In place of steps and the last evaluation: nothing is learned, a clock moves on."""

    def __init__(self, monkeypatch, seconds=0.01, loss=2.0, fail_at=None):
        self.now, self.seconds, self.loss, self.fail_at = 0.0, seconds, loss, fail_at
        self.rates = []
        monkeypatch.setattr(loop.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(loop, "make_step", lambda *_, **__: self)
        metrics = per_character(2.0 * 259, 259)
        monkeypatch.setattr(TextTask, "final_metrics", lambda *_: metrics)
        self.fault = (-1, 0.0)

    def __call__(self, batch, rate, way):
        if len(self.rates) == self.fail_at:
            raise RuntimeError("the power is gone")
        self.rates.append(rate)
        self.now += self.seconds
        return self.loss

    def sync(self):
        pass


def test_a_run_folder(tiny_training, tiny_run):
    assert sorted(os.listdir(tiny_run)) == [
        "checkpoints",
        "config.toml",
        "loss.png",
        "metrics.csv",
        "model.safetensors",
        "run.json",
        "samples",
        "source.json",
        "times.csv",
    ]
    kept = ["best.safetensors", "step-000000300.safetensors"]
    assert sorted(os.listdir(tiny_run / "checkpoints")) == kept
    assert (tiny_run / "loss.png").read_bytes().startswith(b"\x89PNG")
    # The run may have been trained by another test process, from a text of its own folder.
    config = mdnn.load_config(tiny_run / "config.toml")
    source = json.dumps(config.data.source)
    assert config == tiny.load_config(tiny_run.parent, f"data.source={source}")
    assert Path(config.data.source).read_text("utf-8") == tiny.TEXT
    samples = {path.name: path.read_text("utf-8") for path in (tiny_run / "samples").iterdir()}
    assert set(samples) == {"step-0000000.txt", "step-0000300.txt"}
    for sample in samples.values():
        assert sample.startswith("The ")
        assert len(sample) == len("The ") + 20 + len("\n")
    # Umask, not the owner's alone as temporary files are.
    assert {(tiny_run / name).stat().st_mode & 0o777 for name in ("loss.png", "run.json")} == {
        0o666 & ~_umask()
    }


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_training_says(tiny_training, tiny_run):
    assert tiny_training["steps"] == 300
    assert tiny_training["stopped"] is False
    assert tiny_training["parameters"] == mdnn.load(tiny_run).count_params()
    units = len(tiny.TEXT)
    assert tiny_training["characters"] == units - int(units * 0.9) - 1
    bits = tiny_training["loss"] / np.log(2)
    np.testing.assert_allclose(tiny_training["bits_per_character"], bits)
    speed = 300 * 8 * 8 / tiny_training["seconds"]
    # The seconds are rounded to tenths.
    np.testing.assert_allclose(tiny_training["characters_per_second"], speed, rtol=0.2)


def test_it_learns(tiny_training, tiny_run):
    found = rows(tiny_run)
    assert int(found[-1]["step"]) == 300
    first, last = float(found[0]["train_loss"]), float(found[-1]["train_loss"])
    # It starts near the characters' frequencies (the text's entropy is 2.9 nats).
    assert 2.0 < first < 4.0
    assert last < 0.5 * first
    assert tiny_training["loss"] < 0.5 * first
    checks = [float(row["validation_loss"]) for row in found if row["validation_loss"]]
    assert len(checks) == 2
    assert checks[1] == pytest.approx(tiny_training["loss"], abs=1e-4)
    steps = [int(row["step"]) for row in found]
    assert steps == sorted(set(steps))
    # 300 steps: the rate has fallen to a tenth.
    assert float(found[-1]["rate"]) == pytest.approx(2e-3, rel=0.01)


# Without averages that is tested by killing, too.
@pytest.mark.parametrize("ema", [pytest.param(0.0, marks=pytest.mark.long), 0.9])
def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, monkeypatch, capsys, ema):
    config = tiny.load_config(tmp_path, *tiny.QUICK, "train.batch_size=4", f"train.ema_decay={ema}")
    whole = mdnn.train(config, tmp_path / "whole", show=False)

    (tmp_path / "parts").mkdir()
    stop(monkeypatch, at=10)
    first = mdnn.train(config, tmp_path / "parts")
    assert first["stopped"] is True
    assert first["steps"] == 10
    assert "stopped at step 10; --resume goes on" in capsys.readouterr().err
    # What was learned is kept, and is what the figures are of.
    kept = mdnn.evaluate(tmp_path / "parts", sliding=False)
    assert kept["loss"] == pytest.approx(first["loss"], rel=1e-6)

    second = mdnn.train(config, tmp_path / "parts", resume=True)
    assert f"going on with {tmp_path / 'parts'} at step 10, after 0:" in capsys.readouterr().err
    assert second["stopped"] is False
    assert second["steps"] == 20
    assert second["loss"] == whole["loss"]
    for file in ("model.safetensors", CHECKPOINT):
        a, b = (read_arrays(tmp_path / name / file)[0] for name in ("whole", "parts"))
        assert set(a) == set(b)
        for name, array in a.items():
            np.testing.assert_array_equal(array, b[name], err_msg=name)
    # 10 steps learned something, the other 10 something more.
    assert whole["loss"] < first["loss"]


def test_stopped_before_the_first_step(tmp_path, monkeypatch, capsys):
    config = tiny.load_config(tmp_path, *tiny.QUICK)
    stop(monkeypatch, at=0)
    result = mdnn.train(config, tmp_path / "run")
    assert result["steps"] == 0
    assert "stopped at step 0" in capsys.readouterr().err
    assert mdnn.load(tmp_path / "run").count_params() == result["parameters"]
    pretence = Pretence(monkeypatch)
    assert mdnn.train(config, tmp_path / "run", resume=True, show=False)["steps"] == 20
    assert len(pretence.rates) == 20
    assert rows(tmp_path / "run")[-1]["step"] == "20"


def test_a_budget_of_minutes(tmp_path, monkeypatch):
    pretence = Pretence(monkeypatch, seconds=0.75)
    config = tiny.load_config(tmp_path, *tiny.QUICK, "train.minutes=0.1", "train.num_evaluations=3")
    result = mdnn.train(config, tmp_path / "run", show=False)
    assert result["steps"] == 8
    assert result["seconds"] == 6.0
    assert result["characters_per_second"] == round(8 * 8 * 8 / 6)
    spec = config.train.optimizer
    expected = [loop.rate_at(spec, step, step / 8) for step in range(8)]
    np.testing.assert_allclose(pretence.rates, expected)
    found = rows(tmp_path / "run")
    assert [row["seconds"] for row in found] == [f"{0.75 * k:.3f}" for k in range(1, 9)]
    # At a third, two thirds and the end.
    assert [k for k, row in enumerate(found, 1) if row["validation_loss"]] == [3, 6, 8]
    # More minutes for a run that is through; its seconds count on.
    longer = tiny.load_config(tmp_path, *tiny.QUICK, "train.minutes=0.125")
    result = mdnn.train(longer, tmp_path / "run", resume=True, show=False)
    assert result["steps"] == 10
    assert [row["step"] for row in rows(tmp_path / "run")] == [str(k) for k in range(1, 11)]


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    # With words: their table must be there before the run is through.
    config = tiny.load_config(tmp_path, *tiny.QUICK, *tiny.WORDS)
    Pretence(monkeypatch, seconds=25.0, fail_at=11)
    with pytest.raises(RuntimeError, match="the power is gone"):
        mdnn.train(config, tmp_path / "run", show=False)
    with pytest.raises(mdnn.MdnnError, match=r"run is not a run folder: it has no model\.safetens"):
        mdnn.load(tmp_path / "run")
    pretence = Pretence(monkeypatch, seconds=25.0)
    result = mdnn.train(config, tmp_path / "run", resume=True, show=False)
    # A checkpoint a minute: after steps 3, 6 and 9.
    assert len(pretence.rates) == 20 - 9
    assert result["steps"] == 20
    assert result["seconds"] == 20 * 25.0
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == [str(k) for k in range(1, 21)]


def test_a_resumed_run_keeps_its_own_config(tmp_path, monkeypatch):
    Pretence(monkeypatch)
    own = tiny.load_config(tmp_path, *tiny.QUICK)
    mdnn.train(own, tmp_path / "run", show=False)
    other = tiny.load_config(tmp_path, *tiny.QUICK, "backbone.width=8", "seed=9", "train.steps=30")
    assert mdnn.train(other, tmp_path / "run", resume=True, show=False)["steps"] == 30
    expected = tiny.load_config(tmp_path, *tiny.QUICK, "train.steps=30")
    assert mdnn.load_config(tmp_path / "run" / "config.toml") == expected


def test_a_loss_that_is_no_number_ends_training(tmp_path, monkeypatch):
    Pretence(monkeypatch, seconds=25.0, loss=float("nan"))
    config = tiny.load_config(tmp_path, *tiny.QUICK)
    with pytest.raises(mdnn.MdnnError, match=r"^the loss is nan at step 1 \(.*run has no checkp"):
        mdnn.train(config, tmp_path / "run", show=False)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_what_is_there_stays_untouched(tmp_path):
    config = tiny.load_config(tmp_path, *tiny.QUICK)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("folder", "file"):
        with pytest.raises(mdnn.MdnnError, match=f"{name} already exists"):
            mdnn.train(config, tmp_path / name, show=False)
    assert os.listdir(tmp_path / "folder") == ["thesis.txt"]
    assert (tmp_path / "file").read_text() == "a file"


@pytest.mark.parametrize(
    ("settings", "text", "message"),
    [
        ((), "T" * 20, "text.txt' is too short: 20 split into 18 to train and 2 to validate"),
        ((), "", "it is empty"),
        (("data.source=/no/such/text",), tiny.TEXT, "no such file or folder: '/no/such/text'"),
        (("data.validation=0",), tiny.TEXT, "validation must lie between 0 and 1"),
        ((*tiny.WORDS, "tokens.words=1"), "the " * 19, "is too short"),
        (
            ("backbone.layer.0.gate=none", "backbone.layer.0.activation=glu"),
            tiny.TEXT,
            "activation",
        ),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(tmp_path, settings, text, message):
    config = tiny.load_config(tmp_path, *tiny.QUICK, *settings, text=text)
    with pytest.raises(mdnn.MdnnError) as error:
        mdnn.train(config, tmp_path / "new" / "run", show=False)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["text.txt", "tiny.toml"]


def test_resuming_what_is_no_run(tmp_path, tiny_run):
    config = tiny.load_config(tmp_path, *tiny.QUICK)
    with pytest.raises(mdnn.MdnnError, match=r"none is not a run folder to resume"):
        mdnn.train(config, tmp_path / "none", resume=True, show=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.toml").write_bytes((tiny_run / "config.toml").read_bytes())
    (tmp_path / "half" / "model.safetensors").write_bytes(b"")
    with pytest.raises(mdnn.MdnnError, match=r"half has no checkpoint to resume"):
        mdnn.train(config, tmp_path / "half", resume=True, show=False)
    assert sorted(os.listdir(tmp_path / "half")) == ["config.toml", "model.safetensors"]


def test_a_checkpoint_of_another_network_changes_nothing(tmp_path, tiny_run):
    model = mdnn.build(tiny.load_config(tmp_path, "backbone.width=8"))
    optimizer = loop.make_optimizer(
        tiny.load_config(tmp_path).train.optimizer, model.trainable_variables
    )
    before = model.get_weights()
    with pytest.raises(mdnn.MdnnError, match=r"300\.safetensors: expected '.*' as float32"):
        checkpoint.restore(tiny_run, checkpoint.sections_of(model, optimizer))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_another_backend():
    """Integers have another width there: the count of steps, and seeds, are read all the same."""
    # JAX has no integers of 64 bits.
    here, there = ("int32", "int64") if keras.backend.backend() == "jax" else ("int64", "int32")
    steps, seed = keras.Variable(0, dtype=here), keras.Variable([0, 0], dtype="uint32")
    arrays = {"a/steps": np.array(7, there), "a/seed": np.array([-2, 5], "int32")}
    checkpoint.assign_sections({"a": {"steps": steps, "seed": seed}}, arrays, "there")
    assert int(steps) == 7
    np.testing.assert_array_equal(np.asarray(seed), np.array([2**32 - 2, 5], "uint32"))
    arrays["a/steps"] = np.array(7.0, "float32")
    with pytest.raises(mdnn.MdnnError, match=f"expected 'a/steps' as {here}"):
        checkpoint.assign_sections({"a": {"steps": steps, "seed": seed}}, arrays, "there")


def test_a_damaged_checkpoint(tmp_path):
    model = mdnn.build(tiny.load_config(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for damaged in (b"not this", b"", b"\xff" * 100):
        (tmp_path / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(mdnn.MdnnError, match="is not a readable safetensors file"):
            checkpoint.restore(tmp_path, {"model": {v.path: v for v in model.weights}})


def test_samples_are_written_without_xla(tmp_path, monkeypatch):
    """XLA would take longer to compile than two short texts take, and keeps what it compiled."""
    asked = []

    def record(model, xla):
        asked.append(xla)
        without_xla(model)

    monkeypatch.setattr(text_decoder, "compile_with_xla", record)
    config = tiny.load_config(tmp_path, "train.steps=1", "train.num_evaluations=1")
    mdnn.train(config, tmp_path / "run", show=False)
    assert asked == [False]
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2
