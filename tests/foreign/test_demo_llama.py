"""The demo of an imported network: its table, what it lacks, and the whole of it."""

import foreign_files
import pytest

from mdnn.cli import main
from mdnn.cli.demos import demo_llama


def test_table():
    rows = {
        "float16": {"file": 200e6, "memory": 800e6, "speed": 10.0},
        "int4": {"file": 50e6, "memory": 200e6, "speed": 30.0},
    }
    assert demo_llama.format_table(rows) == [
        "                     file           memory         tokens/s",
        "float16     200 MB (1.00)    800 MB (1.00)      10.0 (1.00)",
        "int4         50 MB (0.25)    200 MB (0.25)      30.0 (3.00)",
    ]


def test_without_the_package(monkeypatch, capsys):
    monkeypatch.setattr(demo_llama, "PACKAGE", "no_such_package")
    assert main(["demo", "llama"]) == 2
    assert "make demo-llama installs it" in capsys.readouterr().err


def test_memory_is_measured():
    assert 10e6 < demo_llama.resident() < 100e9


@pytest.mark.long
def test_demo(tmp_path, monkeypatch, capfd):
    foreign_files.write_gguf(tmp_path / "a.gguf", "Q4_1")
    monkeypatch.setattr(demo_llama, "CONTEXT", 24)
    assert demo_llama.main(tmp_path / "a.gguf", tmp_path / "runs") == 0
    out, err = capfd.readouterr()
    assert "error" not in err
    assert all(f"\n{name} " in out for name in demo_llama.FORMATS)
    assert out.count("$ mdnn generate") == len(demo_llama.QUESTIONS)
