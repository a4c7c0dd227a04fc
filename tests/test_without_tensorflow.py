"""On the JAX backend nothing that an accelerator is measured with asks for TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# An entry of None makes every import of the name fail, as where it is not installed.
RUN = """
import runpy, sys
sys.modules["tensorflow"] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, {folder!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""

CONFIG = """
[data]
source = "{}"
[context]
grid = [4, 4]
[backbone]
width = 8
depth = 1
[[backbone.layer]]
kind = "mix"
[[backbone.layer.mixer]]
[train]
steps = 1
"""


def figures(tmp_path, program, *words):
    """Runs a program without TensorFlow; returns its figures."""
    file = tmp_path / "figures.json"
    script = RUN.format(folder=str(BENCHMARKS))
    command = [sys.executable, "-c", script, str(BENCHMARKS / program), *words, "--json", str(file)]
    root = str(BENCHMARKS.parent)
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def jax():
    pytest.importorskip("jax", reason="the extra [jax] is not installed")


def test_layers(tmp_path):
    words = ("--grids", "4x4", "--batches", "2", "--seconds", "0")
    rows = figures(tmp_path, "layers.py", *words)["rows"]
    assert len(rows) == 4
    assert max(row["error"] for row in rows) < 1e-5


def test_steps(tmp_path):
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG.format(tmp_path / "text.txt"), encoding="utf-8")
    (tmp_path / "text.txt").write_text("abc " * 500, encoding="utf-8")
    (row,) = figures(tmp_path, "steps.py", str(config), "--seconds", "0")["rows"]
    assert row["characters_per_second"] > 0


@pytest.mark.long
def test_devices(tmp_path, monkeypatch):
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG.format(tmp_path / "text.txt"), encoding="utf-8")
    (tmp_path / "text.txt").write_text("abc " * 500, encoding="utf-8")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "4")
    rows = figures(tmp_path, "devices.py", str(config), "--seconds", "0")["rows"]
    assert [(row["batch"], row["row"]) for row in rows] == [(1, 1), (1, 4), (2, 2), (4, 1)]
    assert min(row["seconds"] for row in rows) > 0
