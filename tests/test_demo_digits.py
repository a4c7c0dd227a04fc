"""The demo of words and pictures: from the config to the contact sheet, and what stops it."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from mdnn.cli.demos import demo_digits

CONFIG = Path(__file__).parents[1] / "configs" / "digits-small.toml"


@pytest.fixture
def short(tmp_path):
    """The shipped config with a small network, three steps, and one way to write."""
    text = CONFIG.read_text(encoding="utf-8")
    for old, new in (
        ("minutes = 2.5", "steps = 3\nnum_evaluations = 0"),
        ("batch_size = 48", "batch_size = 2"),
        ("width = 128\ndepth = 2", "width = 16\ndepth = 1"),
        ("autoregressive = 2.0", "autoregressive = 0.0"),
        ("masked_diffusion = 1.0", "masked_diffusion = 0.0"),
        ('source = "digits"', 'source = "digits"\nvalidation = 0.02'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_demo(short, tmp_path, capfd):
    assert demo_digits.main(short, tmp_path / "runs") == 0
    out, err = capfd.readouterr()
    assert "error" not in err
    (run,) = (tmp_path / "runs").iterdir()
    for name in ("model.safetensors", "loss.png", demo_digits.SHEET):
        assert (run / name).stat().st_size > 1000, name
    assert f"$ mdnn train {short} --out {run}" in out
    assert re.search(r"Picture to word, on (3|4)\d pictures", out)
    assert re.findall(r"\n  (.+?) +[0-9.]+% right", out) == ["at once"]
    # Eight lines each: two rows of four pictures, and one for each of three words.
    assert sum(not line.strip(" ░▒▓█") and "█" in line for line in out.split("\n")) > 30
    for command in ("generate", "evaluate", "train", "inspect"):
        assert f"  mdnn {command} " in out.partition("What to try next")[2]


def test_stopped_while_it_answers(short, tmp_path, capfd, monkeypatch):
    def stop(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_digits, "command", lambda *words: 0)
    monkeypatch.setattr(demo_digits, "_show", stop)
    assert demo_digits.main(short, tmp_path / "runs") == 130
    out, err = capfd.readouterr()
    assert err == "\nmdnn: stopped\n"
    assert "What to try next" not in out


def test_training_that_fails_ends_the_demo(short, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_digits, "command", lambda *words: 7)
    assert demo_digits.main(short, tmp_path / "runs") == 7


def test_elsewhere(tmp_path, monkeypatch, capfd):
    """The config comes with mdnn; the run is made where the demo is started."""
    monkeypatch.chdir(tmp_path)
    called = []
    monkeypatch.setattr(demo_digits, "command", lambda *words: called.append(words) or 7)
    assert demo_digits.main() == 7
    assert called[0][:3] == ("train", "digits-small", "--out")
    assert demo_digits.main("no-such-config") == 2
    assert capfd.readouterr().err.startswith("mdnn: error: no config file at no-such-config")
    assert not list(tmp_path.iterdir())


def test_without_scikit_learn(short, monkeypatch, capfd):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert demo_digits.main(short) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "scikit-learn" in err
    assert "pip install 'mdnn[digits]'" in err


def test_blocks():
    picture = np.array([[0, 52, 103], [154, 205, 255]], "uint8")
    assert demo_digits.blocks(picture) == ["  ░░▒▒", "▓▓████"]
    assert demo_digits.blocks(picture, " #") == ["      ", "######"]


def test_what_a_network_wrote_does_nothing_to_the_terminal():
    assert demo_digits.replace_unprintable("se\x1b[2Jven") == "se\ufffd[2Jven"
    assert demo_digits.replace_unprintable("") == "(nothing)"
