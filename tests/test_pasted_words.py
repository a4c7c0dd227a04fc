"""What people paste from README, docs and configs: every command parses, every name is there."""

import re
import shlex
from pathlib import Path

import pytest

import mdnn
from mdnn.cli.parser import parser
from mdnn.config.shipped import config_head, shipped_configs

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    """Pairs of a page's name and a code block in one language; `""`: those without a word."""
    for page in PAGES:
        for name, text in BLOCK.findall(page.read_text("utf-8")):
            if name in language:
                yield page.name, text


def commands():
    """The command lines of mdnn in pages and in the heads of configs."""
    for page, block in blocks(("", "sh", "bash", "console")):
        for line in block.replace("\\\n", " ").splitlines():
            if (line := line.removeprefix("$ ")).startswith("mdnn "):
                yield pytest.param(line, id=f"{page}: {line[:50]}")
    for name, path in shipped_configs().items():
        if (line := config_head(path)["command"]).startswith("mdnn "):
            yield pytest.param(line, id=f"{name}.toml")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_parse(line):
    options = parser().parse_args(shlex.split(line, comments=True)[1:])
    assert options.run_command
    if getattr(options, "config", "").startswith("configs/"):
        # What is set of a shipped config are keys that there are.
        mdnn.load_config(options.config, options.set)


@pytest.mark.parametrize(("page", "block"), list(blocks(("python",))))
def test_names_of_snippets_are_there(page, block):
    compile(block, page, "exec")
    for name in re.findall(r"\bmdnn\.(\w+)\(", block):
        assert hasattr(mdnn, name), f"{page}: mdnn.{name}"
    for module, names in re.findall(r"^from (mdnn[\w.]*) import ([\w, ]+)$", block, re.MULTILINE):
        found = __import__(module, fromlist=["_"])
        for name in names.split(", "):
            assert hasattr(found, name), f"{page}: {module}.{name}"
