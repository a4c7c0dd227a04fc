"""kill -9 at any moment of training: the next process goes on, to the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tiny

CONFIG = (
    "train.steps=200",
    "train.num_evaluations=4",
    "train.sample=0",
    "train.deterministic=true",
    "train.checkpoints.seconds=0",
    "train.checkpoints.keep=2",
    "backbone.layer.1.dropout=0.2",
)


GROWING = """
[[train.stage]]
at = 0.05
context.grid = [8]
backbone.depth = 2

[[train.stage]]
at = 0.1
context.grid = [2, 8]
backbone.width = 24
backbone.layer.0.mixer.0.groups = 3

[train.optimizer]"""


def killed(folder, kills, seed, stages=""):
    """What `killing.py` reports of so many kills."""
    path = folder / "config.toml"
    text = tiny.load_config(folder, *CONFIG).to_toml()
    if stages:
        text = text.replace("grid = [8]", "grid = [1]").replace("[train.optimizer]", stages, 1)
    path.write_text(text, encoding="utf-8")
    program = Path(__file__).with_name("killing.py")
    command = [sys.executable, program, path, folder, str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    print(json.dumps(report))
    assert report["lost"] == 0, done.stderr
    assert report["differences"] == []
    assert sum(report["kills"].values()) == kills
    # Not all of them began anew.
    assert any(0 < step < 200 for step in report["steps"])
    return report


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="forks before it computes")
def test_killed_a_few_times(tmp_path):
    killed(tmp_path, 3, seed=5)


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="forks before it computes")
def test_killed_many_times(tmp_path):
    report = killed(tmp_path, 100, seed=1)
    # 20 of them at a moment that nothing but chance chose.
    assert report["kills"]["moment"] == 20


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="forks before it computes")
def test_killed_while_it_grows(tmp_path):
    """Every growth is killed at some file, sync or rename of its own, and at moments of chance."""
    killed(tmp_path, 40, seed=7, stages=GROWING)
