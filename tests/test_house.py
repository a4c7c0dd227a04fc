"""The house as docs/architecture.md draws it: who may import whom, and what stands where."""

import ast
import collections
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "mdnn").rglob("*.py"))

ROOMS = (
    ("errors", "option_field", "encoding_guess", "recently_used"),
    ("text_encodings", "file_systems", "standard_streams", "keras_settings"),
    ("files",),
    ("strict_json", "machine", "runtime", "tensorflow_graphs"),
    ("activations", "chat", "constraints", "native"),
    ("tokens",),
    ("layers",),
    ("config", "paper"),
    ("layer", "datasets", "models"),
    ("safety",),
    ("runs",),
    ("growth", "foreign", "identity", "kernels"),
    ("generation",),
    ("tasks",),
    ("training", "tools"),
    ("assistant",),
    ("serving",),
    ("tuning",),
    ("cli",),
    ("__main__",),
)
"""Rooms and single files of `mdnn`, lowest first; each imports from lower ones and from itself."""

FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}


def module_of(path):
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = {module_of(path): path for path in FILES}


def imports(path):
    """The modules of mdnn that a file imports, those inside functions among them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return {name for name in found if name in MODULES}


def room_of(module):
    return module.split(".")[1] if "." in module else "mdnn"


def test_nothing_imports_upwards():
    wrong = []
    for module, path in MODULES.items():
        room = room_of(module)
        for other in imports(path):
            theirs = room_of(other)
            # The package itself holds its version and hands on public names when asked.
            if "mdnn" in (room, theirs) or room == theirs:
                continue
            if FLOOR[theirs] >= FLOOR[room]:
                wrong.append(f"{module} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_no_circle():
    """Imports at the top of files make no circle of modules."""
    edges = collections.defaultdict(set)
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    edges[module].add(inner if inner in MODULES else node.module)
            elif isinstance(node, ast.Import):
                edges[module] |= {alias.name for alias in node.names}
    done, open_ = set(), []

    def visit(module):
        if module in open_:
            pytest.fail(" -> ".join([*open_[open_.index(module) :], module]))
        if module in done or module not in MODULES:
            return
        open_.append(module)
        for other in sorted(edges[module]):
            # A package's own __init__ hands on its modules' names.
            if not module.startswith(f"{other}."):
                visit(other)
        open_.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


def test_no_file_name_twice():
    names = collections.Counter(path.name for path in FILES if not path.name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_folder_holds_more_than_twenty_files():
    counts = collections.Counter(path.parent for path in FILES if not path.name.startswith("__"))
    assert {str(folder): n for folder, n in counts.items() if n > 20} == {}


def test_no_file_has_more_than_300_lines():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {str(path): n for path, n in lines.items() if n > 300} == {}


def public_names(kinds):
    """Names of the definitions at the top of files, each with its files."""
    names = collections.defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, kinds) and not node.name.startswith("_"):
                names[node.name].append(path.name)
    return names


def test_no_two_classes_of_one_name():
    names = public_names(ast.ClassDef)
    assert {name: files for name, files in names.items() if len(files) > 1} == {}


def test_no_two_functions_of_one_name():
    """But programs' `main`, and what one library loads for each backend."""
    names = public_names(ast.FunctionDef)
    twice = {name: files for name, files in names.items() if len(files) > 1}
    assert twice.keys() == {"main", "load_calls"}, twice


def test_tasks_are_told_apart_in_their_room_alone():
    wrong = [
        str(path.relative_to(ROOT))
        for path in FILES
        if "tasks" not in path.parts
        and re.search(r"\.layout\s*[!=]=", path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_tensorflow_is_imported_where_it_may_be():
    wrong = [
        str(path.relative_to(ROOT))
        for path in FILES
        if re.search(r"^\s*(import|from) tensorflow", path.read_text(encoding="utf-8"), re.M)
        and path.relative_to(ROOT / "mdnn").parts[0]
        not in (
            "datasets",
            "training",
            "serving",
            "runtime.py",
            "safety",
            "native",
        )
    ]
    assert wrong == []


def test_architecture_names_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.relative_to(ROOT / "mdnn").parts[0] for path in FILES} - {"__init__.py"}
    missing = sorted(room for room in rooms if room.removesuffix(".py") not in text)
    assert missing == []
