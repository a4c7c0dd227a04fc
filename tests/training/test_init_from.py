"""A run that starts with another one's weights: what it takes, records, refuses."""

import json

import numpy as np
import pytest
import tiny
from test_trainer import stop

import mdnn
from mdnn.cli import main
from mdnn.runs.origin import ORIGIN, read_origin
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import read_arrays
from mdnn.training import checkpoint

OTHER_TEXT = "Sphinx of black quartz, judge my vow! " * 60
SHORT = (*tiny.QUICK, "train.steps=3", "train.optimizer.learning_rate=1e-3")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "other").mkdir()
    return tiny.load_config(tmp_path / "other", *SHORT, text=OTHER_TEXT)


def weights(run):
    return {w.path: np.asarray(w) for w in mdnn.load(run).weights}


def first_checkpoint(monkeypatch, config, out, **how):
    """The arrays that a training begins with: it is stopped before its first step."""
    stop(monkeypatch, at=0)
    mdnn.train(config, out, show=False, **how)
    return read_arrays(checkpoint.newest(out))[0]


def model_of(arrays):
    return {k.removeprefix("model/"): v for k, v in arrays.items() if k.startswith("model/")}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_every_form_of_a_run(tmp_path, monkeypatch, config, tiny_run):
    """A folder, an opened run, a network and a .keras file give the same weights."""
    network = mdnn.load(tiny_run)
    network.save(tmp_path / "net.keras")
    forms = tiny_run, open_run(tiny_run), network, tmp_path / "net.keras"
    for number, form in enumerate(forms):
        out = tmp_path / f"run-{number}"
        begun = first_checkpoint(monkeypatch, config, out, init_from=form)
        assert_same(model_of(begun), weights(tiny_run))
        # The optimizer is new.
        state = [v for k, v in begun.items() if k.startswith("optimizer/") and "moment" in k]
        assert state
        assert not any(v.any() for v in state)
        assert read_origin(out)["how"] == "started"
    known = read_origin(tmp_path / "run-0")
    assert known["run"] == str(tiny_run.resolve())
    assert known["step"] == 300
    assert read_origin(tmp_path / "run-2")["run"] == "a network in memory"
    assert read_origin(tiny_run) is None


def test_the_state_of_the_optimizer(tmp_path, monkeypatch, config, tiny_run):
    begun = first_checkpoint(
        monkeypatch, config, tmp_path / "run", init_from=tiny_run, init_optimizer=True
    )
    before, _ = read_arrays(checkpoint.newest(tiny_run))
    for name, array in before.items():
        if name.startswith(("model/", "optimizer/")):
            np.testing.assert_array_equal(begun[name], array, err_msg=name)
    assert read_origin(tmp_path / "run")["optimizer"] is True


@pytest.mark.long
def test_it_learns_the_new_text(tmp_path, config, tiny_run):
    before = mdnn.evaluate(tiny_run, OTHER_TEXT, sliding=False)["loss"]
    path = tmp_path / "other" / "tiny.toml"
    settings = [*tiny.QUICK, "train.optimizer.min_lr_ratio=1.0", "train.steps=40"]
    long = mdnn.load_config(path, settings)
    once = mdnn.train(long, tmp_path / "once", show=False, init_from=tiny_run)
    assert once["loss"] < before - 0.5


def test_killed_before_the_first_checkpoint(tmp_path, monkeypatch, config, tiny_run):
    """The record says where to begin again; without that run, one line does."""
    with monkeypatch.context() as patch:
        patch.setattr(
            checkpoint, "write_checkpoint", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            mdnn.train(config, tmp_path / "run", show=False, init_from=tiny_run)
    assert checkpoint.newest(tmp_path / "run") is None
    stop(monkeypatch, at=0)
    mdnn.train(config, tmp_path / "run", show=False, resume=True)
    begun, _ = read_arrays(checkpoint.newest(tmp_path / "run"))
    assert_same(model_of(begun), weights(tiny_run))
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        file.unlink()
    (tmp_path / "run" / "model.safetensors").unlink()
    table = json.loads((tmp_path / "run" / ORIGIN).read_text("utf-8"))
    (tmp_path / "run" / ORIGIN).write_text(json.dumps(table | {"run": "/nowhere"}), "utf-8")
    with pytest.raises(mdnn.MdnnError, match="started from /nowhere, which is not there"):
        mdnn.train(config, tmp_path / "run", show=False, resume=True)


def test_words_come_along(tmp_path, monkeypatch, words_run):
    (tmp_path / "other").mkdir()
    settings = (*SHORT, *tiny.WORDS)
    config = tiny.load_config(tmp_path / "other", *settings, text=OTHER_TEXT)
    stop(monkeypatch, at=0)
    mdnn.train(config, tmp_path / "run", show=False, init_from=words_run)
    assert open_run(tmp_path / "run").words == open_run(words_run).words


def test_weights_that_do_not_fit(tmp_path, config, tiny_run):
    wide = mdnn.load_config(
        tmp_path / "other" / "tiny.toml", [*SHORT, "backbone.width=32", "backbone.depth=2"]
    )
    with pytest.raises(mdnn.MdnnError) as refused:
        mdnn.train(wide, tmp_path / "run", show=False, init_from=tiny_run)
    text = str(refused.value)
    assert "'embedding/text_byte_1' is 17 x 16 there and 17 x 32 here" in text
    assert "and 29 more. mdnn grow makes a run larger" in text or "more. mdnn grow" in text
    assert "\n" not in text
    assert not (tmp_path / "run").exists()
    deeper = mdnn.load_config(tmp_path / "other" / "tiny.toml", [*SHORT, "backbone.depth=2"])
    with pytest.raises(mdnn.MdnnError, match="is missing there and 16 x 32 here"):
        mdnn.train(deeper, tmp_path / "run", show=False, init_from=tiny_run)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"init_from": "nothing"}, "nothing is not a run folder"),
        ({"init_from": 3}, "run: expected"),
        ({"init_optimizer": True}, "init_optimizer takes the state of the run"),
        ({"source": "text.txt"}, "source: expected only with resume"),
    ],
)
def test_what_is_no_start(tmp_path, config, how, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.train(config, tmp_path / "run", show=False, **how)
    assert not (tmp_path / "run").exists()


def test_a_saved_network_has_no_optimizer(tmp_path, config, tiny_run):
    mdnn.save(mdnn.load(tiny_run), tmp_path / "saved")
    with pytest.raises(mdnn.MdnnError, match="has no checkpoint: init_optimizer takes"):
        mdnn.train(
            config, tmp_path / "run", show=False, init_from=tmp_path / "saved", init_optimizer=True
        )


def test_the_state_of_another_optimizer(tmp_path, tiny_run):
    (tmp_path / "other").mkdir()
    config = tiny.load_config(tmp_path / "other", *SHORT, "train.optimizer.name=lion")
    wanted = r"^init_optimizer: expected train.optimizer.name = 'adamw' as in /.*, received 'lion'$"
    with pytest.raises(mdnn.MdnnError, match=wanted):
        mdnn.train(config, tmp_path / "run", show=False, init_from=tiny_run, init_optimizer=True)
    assert not (tmp_path / "run").exists()


def test_the_command_line(tmp_path, config, tiny_run, capsys):
    path = tmp_path / "other" / "tiny.toml"
    short = [word for setting in SHORT for word in ("--set", setting)]
    out = str(tmp_path / "run")
    command = ["train", str(path), "--out", out, "--init-from", str(tiny_run), *short]
    assert main(command) == 0
    assert f"started from {tiny_run.resolve()} at step 300" in capsys.readouterr().err
    assert main(["inspect", out]) == 0
    assert f"started from {tiny_run.resolve()} at step 300" in capsys.readouterr().out
    assert main(["inspect", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"]["step"] == 300
    # Started from, gone on with: not both.
    assert main([*command[:6], "--resume"]) == 2
    assert (
        "expected only one of init_from, which starts a new run, and resume"
        in capsys.readouterr().err
    )
    assert main(["train", str(path), "--out", out, "--init-from", "no-run", *short]) == 2


def test_going_on_with_another_text(tmp_path, config, capsys):
    """`--resume --set data.source=...`: the run's own weights and settings, the new text."""
    path = tmp_path / "other" / "tiny.toml"
    mdnn.train(config, tmp_path / "run", show=False)
    (tmp_path / "new.txt").write_text(tiny.TEXT, encoding="utf-8")
    source = str(tmp_path / "new.txt")
    words = ["--resume", "--set", f"data.source={source}", "--set", "train.steps=6"]
    assert main(["train", str(path), "--out", str(tmp_path / "run"), *words]) == 0
    assert f"the source is {source} from here on" in capsys.readouterr().err
    assert mdnn.load_config(tmp_path / "run" / "config.toml").data.source == source
