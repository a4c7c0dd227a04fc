"""Memory of open sources: a small multiple of their files."""

import json
import tracemalloc

import numpy as np
import pytest

import mdnn
from mdnn.datasets.batches.context_plan import planned_contexts
from mdnn.datasets.items import manifest_lines
from mdnn.datasets.items.example import FileItem, Room
from mdnn.datasets.items.manifest import read_manifest
from mdnn.datasets.media.media_files import write_item
from mdnn.tokens import characters
from mdnn.tokens.items import Item

LINES = 1_500


def peak(call):
    """What a call returns, and the most bytes that it took."""
    tracemalloc.start()
    try:
        value = call()
        return value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def small(monkeypatch):
    """Manifests of which few lines are kept as objects, as of large ones."""
    monkeypatch.setattr(manifest_lines, "KEPT", 1 << 10)


def write_manifest(folder, *forms):
    path = folder / "manifest.jsonl"
    lines = (json.dumps({"items": [form(k) for form in forms]}) for k in range(LINES))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


TEXTS = (lambda k: {"text": f"word {k}"}, lambda k: {"text": f"mot {k}"})
FILES = (lambda k: {"text": f"word {k}"}, lambda k: {"image": "a.png"})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("forms", [TEXTS, FILES], ids=["texts", "files"])
def test_manifests(tmp_path, forms):
    write_item(Item("grey", np.zeros((2, 2), np.uint8)), tmp_path / "a.png")
    path = write_manifest(tmp_path, *forms)
    mdnn.open_dataset(path)
    splits, most = peak(lambda: mdnn.open_dataset(path))
    assert most < 4 * path.stat().st_size
    _, used = peak(lambda: planned_contexts(splits.train, "given"))
    assert used < 2 * path.stat().st_size
    # Made anew at each access, the examples are those of a list.
    assert len(splits.train) + len(splits.validation) == LINES
    line = splits.train[LINES // 2]
    assert line is not splits.train[LINES // 2]
    number = int(line.parts[0][0].value.split()[1])
    assert line.name == f"{path}:{number + 1}"


@pytest.mark.usefixtures("small")
def test_long_lines_are_kept(tmp_path):
    write_item(Item("grey", np.zeros((2, 2), np.uint8)), tmp_path / "a.png")
    long = {"items": [{"text": [f"{k}" for k in range(1000)]}, {"image": "a.png"}]}
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"items": [{"text": "w" * 1100}]}) + "\n" + f"{json.dumps(long)}\n")
    lines = read_manifest(path)
    assert [lines[k] is lines[k] for k in (0, 1)] == [False, True]
    assert lines[-1] is lines[1]
    assert [len(lines[:2]), len(lines[1:])] == [2, 1]
    with pytest.raises(IndexError):
        lines[2]


def test_items_of_files_are_kept_while_there_is_room(tmp_path):
    paths = []
    for k in range(3):
        paths.append(str(tmp_path / f"{k}.png"))
        write_item(Item("grey", np.full((8, 8), k, np.uint8)), paths[-1])
    room = Room(150)
    entries = [FileItem("image", (path,), room=room) for path in paths]
    for _ in range(2):
        assert [int(entry.read().value[0, 0]) for entry in entries] == [0, 1, 2]
    assert [entry.read() is entry.read() for entry in entries] == [True, True, False]
    assert room.left == 150 - 2 * 64


@pytest.mark.parametrize("words", [0, 20])
def test_texts(tmp_path, words, monkeypatch):
    """Intermediate arrays are those of a piece of the text, which is small beside a large text."""
    monkeypatch.setattr(characters, "_PIECE", 1 << 12)
    path = tmp_path / "a.txt"
    path.write_text("The cat sat on the mat. " * 10_000)
    mdnn.open_text(path, words=words)
    _, most = peak(lambda: mdnn.open_text(path, words=words))
    assert most < 10 * path.stat().st_size
