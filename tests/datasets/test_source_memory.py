"""Memory of open sources: a small multiple of their files."""

import contextlib
import json
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

import mdnn
from mdnn.datasets.batches.context_plan import planned_contexts
from mdnn.datasets.items import manifest_lines
from mdnn.datasets.items.example import ByteBudget, FileItem
from mdnn.datasets.items.manifest import read_manifest
from mdnn.datasets.media.media_files import write_item
from mdnn.datasets.tfds import tfds_items
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
    assert most < 3 * path.stat().st_size
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
    room = ByteBudget(150)
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


COUNT, SIDE, SAMPLES = 400, 64, 4000
SET_BYTES = COUNT * (3 * SIDE**2 + 2 * SAMPLES)


def set_example(number):
    """A picture and a sound of an emulated set, pure functions of the number, and a label."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8),
        "audio": rng.integers(-99, 99, SAMPLES),
        "label": number % 2,
    }


@pytest.fixture
def large_set(monkeypatch):
    """A set of TFDS, emulated, of many pictures and sounds; nothing of it is prepared."""
    kinds = {name: type(name, (), {}) for name in ("Image", "Video", "Audio", "Text", "ClassLabel")}
    image, audio, label = (kinds[name]() for name in ("Image", "Audio", "ClassLabel"))
    image.shape, image.np_dtype = (SIDE, SIDE, 3), np.uint8
    audio.shape, audio.np_dtype, audio.sample_rate = (None,), np.int64, 8000
    label.num_classes, label.names = 2, ["even", "odd"]
    info = SimpleNamespace(
        features={"image": image, "audio": audio, "label": label}, splits=("train",)
    )
    opened = SimpleNamespace(features=SimpleNamespace(**kinds)), SimpleNamespace(info=info)
    monkeypatch.setattr(tfds_items, "open_set", lambda *_, **__: contextlib.nullcontext(opened))
    monkeypatch.setattr(tfds_items, "examples", lambda *_: map(set_example, range(COUNT)))


@pytest.mark.usefixtures("large_set")
def test_sets(tmp_path):
    splits, most = peak(lambda: mdnn.open_dataset("tfds:large"))
    assert most < SET_BYTES / 10
    assert len(splits.train) + len(splits.validation) == COUNT
    _, most = peak(lambda: planned_contexts(splits.train, "given"))
    assert most < SET_BYTES / 10
    for line in (splits.train[0], splits.train[-1], splits.validation[3]):
        words, picture, sound = (part[0] for part in line.parts)
        number = int(line.name.split()[-1])
        expected = set_example(number)
        assert [words.value, sound.rate] == [("even", "odd")[number % 2], 8000]
        np.testing.assert_array_equal(picture.value, expected["image"])
        np.testing.assert_array_equal(sound.value, expected["audio"])
    path = tmp_path / "manifest.jsonl"
    items = [{"text": "odd"}, {"image": "tfds:large", "label": "odd"}]
    path.write_text(json.dumps({"items": items}))
    splits, most = peak(lambda: mdnn.open_dataset(path))
    assert most < SET_BYTES / 10
    pictures = splits.train[0].parts[1]
    assert len(pictures) == COUNT // 2 - COUNT // 20
    number = int(pictures[7].name.split()[2])
    np.testing.assert_array_equal(pictures[7].value, set_example(number)["image"])
    assert number % 2 == 1


@pytest.mark.usefixtures("large_set")
def test_kinds_of_sets_are_checked_when_they_are_opened():
    with pytest.raises(mdnn.MdnnError, match="train 0 audio: expected an item of the kinds"):
        mdnn.open_dataset("tfds:large", kinds=("text", "image"))
    splits = mdnn.open_dataset("tfds:large", kinds=("text", "image", "spectrum"))
    assert splits.train[0].parts[2][0].kind == "spectrum"
