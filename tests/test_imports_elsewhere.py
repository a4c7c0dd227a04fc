"""What notebooks, benchmarks and docs import from mdnn is there."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def code_of(path):
    """The Python code of a notebook, a page of docs or a program."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    if path.suffix != ".ipynb":
        return [text]
    cells = json.loads(text)["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [re.sub(r"^[%!].*$", "", source, flags=re.M) for source in code]


def imported(path):
    """Pairs of a module of mdnn and a name that is taken from it; `None`: the module alone."""
    for source in code_of(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mdnn":
                yield from ((node.module, alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "mdnn":
                        yield alias.name, None
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mdnn":
                yield "mdnn", node.attr


def is_there(module, name):
    try:
        found = importlib.import_module(module)
        if name is not None and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        # What another backend or an extra brings may be missing here.
        return (error.name or "").split(".")[0] != "mdnn"
    return True


@pytest.mark.parametrize("pattern", ["notebooks/*.ipynb", "benchmarks/*.py", "docs/*.md"])
def test_what_is_imported_is_there(pattern):
    # That one measures older versions, too, by their names.
    paths = [path for path in sorted(ROOT.glob(pattern)) if path.name != "versions_worker.py"]
    found = [(path.name, *pair) for path in paths for pair in dict.fromkeys(imported(path))]
    assert found
    assert [entry for entry in found if not is_there(*entry[1:])] == []
