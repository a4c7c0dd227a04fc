"""The demo of refeeding: from the config to the picture of the steps, and what stops it."""

import re
from pathlib import Path

import pytest

from mdnn.cli.demos import demo_thinking
from mdnn.errors import MdnnError

CONFIG = Path(__file__).parents[1] / "configs" / "sudoku-4x4.toml"


@pytest.fixture
def short(tmp_path):
    """The shipped config with a small network and three steps."""
    text = CONFIG.read_text(encoding="utf-8")
    for old, new in (
        ("minutes = 2", "steps = 3\nnum_evaluations = 0\nsample = 0"),
        ("batch_size = 64", "batch_size = 2"),
        ("width = 32\ndepth = 1", "width = 8\ndepth = 1"),
        ("validation = 0.1", "validation = 0.1\nvalidation_size = 8"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_demo(short, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(demo_thinking, "COUNTED", [1, 3])
    assert demo_thinking.main(short, tmp_path / "runs") == 0
    out, err = capfd.readouterr()
    assert "error" not in err
    (run,) = (tmp_path / "runs").iterdir()
    for name in ("model.safetensors", demo_thinking.PICTURE):
        assert (run / name).stat().st_size > 1000, name
    assert f"$ mdnn train {short} --out {run}" in out
    # Three puzzles, each beside what became of it.
    titles = re.findall(r"puzzle +step 1 +step 2 +step 3 +step 4 +step 6 +step 8", out)
    assert len(titles) == demo_thinking.PUZZLES
    assert re.search(r"^8 puzzles that it was not trained on", out, re.MULTILINE)
    for command in ("generate", "evaluate", "train"):
        assert f"  mdnn {command} " in out.partition("What to try next")[2]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "\nmdnn: stopped\n"),
        (MdnnError("no\nsuch run"), 2, "mdnn: error: no such run\n"),
    ],
)
def test_what_stops_it(short, tmp_path, capfd, monkeypatch, error, status, said):
    def stop(run):
        raise error

    monkeypatch.setattr(demo_thinking, "command", lambda *words: 0)
    monkeypatch.setattr(demo_thinking, "_show", stop)
    assert demo_thinking.main(short, tmp_path / "runs") == status
    out, err = capfd.readouterr()
    assert err == said
    assert "What to try next" not in out


def test_elsewhere(tmp_path, monkeypatch, capfd):
    """The config comes with mdnn; the run is made where the demo is started."""
    monkeypatch.chdir(tmp_path)
    called = []
    monkeypatch.setattr(demo_thinking, "command", lambda *words: called.append(words) or 7)
    assert demo_thinking.main() == 7
    assert called[0][:3] == ("train", "sudoku-4x4", "--out")
    assert demo_thinking.main("no-such-config") == 2
    assert capfd.readouterr().err.startswith("mdnn: error: no config file at no-such-config")
    assert not list(tmp_path.iterdir())
