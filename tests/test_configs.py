"""The files in configs/: the head of each says how to run it and what to expect."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "configs"
NAMES = sorted(path.name for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_head(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    head = lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))]
    for word in ("command:", "time:", "expected:"):
        assert [line for line in head if re.match(rf"#\s+{word} +\S", line)], word
    (command,) = (line for line in head if "command:" in line)
    program = re.search(r"(mdnn train|python \S+)", command)
    assert program, command
    if program[0].startswith("mdnn"):
        assert f"configs/{name}" in command
        assert " --out " in command
    else:
        assert (FOLDER.parent / program[0].split()[1]).is_file()
