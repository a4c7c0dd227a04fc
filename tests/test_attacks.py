"""Bad files of every kind are refused in one line, in little memory and time."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import attacks
import keras
import pytest
import tiny

import mdnn
from mdnn import cli

MEMORY = 64 << 20
"""Bytes that Python and numpy may take to refuse a file of a few kilobytes."""

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="what is read does not depend on it"
)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return {kind.name: kind for kind in attacks.kinds(tmp_path_factory.mktemp("made"))}


NAMES = (
    *("a.toml", "a.safetensors", "b.safetensors", "words.json", "item_statistics.json", "run.json"),
    *("manifest.jsonl", "a.png", "a.jpg", "a.wav", "a.txt", "b.txt", "axis_0.npy", "metrics.csv"),
    *("puzzles.csv", "a.keras", "saved_model.pb", "a.gif", "a.webp", "a.bmp", "source.json"),
)


def test_every_kind_is_tried(kinds):
    assert set(kinds) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_bad_files_are_refused(kinds, name, tmp_path):
    kind, path = kinds[name], tmp_path / name
    attacks.surroundings(tmp_path)
    path.write_bytes(kind.good)
    assert attacks.refusal(kind, path) is None
    tracemalloc.start()
    try:
        for what, data in kind.bad.items():
            path.write_bytes(data)
            tracemalloc.reset_peak()
            start = time.process_time()
            assert attacks.refusal(kind, path), what
            assert time.process_time() - start < 5, what
            assert tracemalloc.get_traced_memory()[1] < MEMORY + 3 * len(data), what
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
def test_changed_files(kinds, name, tmp_path):
    number = 20 if name in ("a.keras", "b.safetensors") else 100
    draw = random.Random(f"fast {name}")
    assert attacks.fuzz(kinds[name], tmp_path / name, draw, number) > 0


@pytest.mark.parametrize("name", NAMES)
def test_no_file_a_folder_a_pipe(kinds, name, tmp_path):
    kind, path = kinds[name], tmp_path / name
    if name not in ("run.json", "metrics.csv"):  # which may be missing
        if name != "b.safetensors":
            assert attacks.refusal(kind, path)
        path.symlink_to(tmp_path / "nothing")
        if name != "b.safetensors":
            assert attacks.refusal(kind, path)
        path.unlink()
    if name in ("b.safetensors", "metrics.csv", "saved_model.pb", "b.txt"):
        return
    path.mkdir()
    assert attacks.refusal(kind, path)
    path.rmdir()
    os.mkfifo(path)
    assert attacks.refusal(kind, path)


def refused(capsys, *words):
    """The line with which the command line refuses something, with status 2."""
    capsys.readouterr()
    assert cli.main([*map(str, words)]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("mdnn: error: ")
    assert error.count("\n") == 1
    return error


def test_the_command_line_refuses_with_one_line(kinds, items_run, tmp_path, capsys):
    new = ("--out", tmp_path / "new")
    item = ("generate", items_run, "--output", "text", "--out", tmp_path / "answer.txt", "--item")
    for name in ("a.png", "a.jpg", "a.wav", "a.txt"):
        path = tmp_path / name
        path.write_bytes(next(iter(kinds[name].bad.values())))
        assert name in refused(capsys, *item, path)
    for what, data in kinds["a.toml"].bad.items():
        (tmp_path / "a.toml").write_bytes(data)
        assert "a.toml" in refused(capsys, "train", tmp_path / "a.toml", *new), what
        assert "a.toml" in refused(capsys, "inspect", tmp_path / "a.toml"), what
    config = tiny.write_items(tmp_path)
    (tmp_path / "manifest.jsonl").write_bytes(kinds["manifest.jsonl"].bad["outside"])
    assert "outside the manifest's folder" in refused(capsys, "train", config, *new)
    config = tiny.write_config(tmp_path)
    (tmp_path / "text.txt").write_bytes(b"\xff" * 1000)
    assert "is not UTF-8 text" in refused(capsys, "train", config, *new)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "answer.txt").exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("model.safetensors", "a.safetensors"),
        ("item_statistics.json", "item_statistics.json"),
        ("run.json", "run.json"),
        ("config.toml", "a.toml"),
    ],
)
def test_the_command_line_refuses_a_damaged_run(kinds, items_run, tmp_path, capsys, file, name):
    run = tmp_path / "run"
    shutil.copytree(items_run, run)
    bad = [*kinds[name].bad.values()]
    for data in bad[:: max(1, len(bad) // 4)]:
        (run / file).write_bytes(data)
        words = (
            "generate",
            run,
            "--prompt",
            "one",
            "--output",
            "grey",
            "--out",
            tmp_path / "a.png",
        )
        assert {"run.json": "run"}.get(file, file) in refused(capsys, *words)
    assert not (tmp_path / "a.png").exists()


def test_one_bit_of_the_weights(tiny_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-5] ^= 4
    (run / "model.safetensors").write_bytes(data)
    assert "is damaged: its checksum is wrong" in refused(capsys, "evaluate", run)


def test_a_link_in_a_folder_of_texts(tmp_path):
    (tmp_path / "secret.txt").write_text("not yours")
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("a text")
    (folder / "b.txt").symlink_to("a.txt")
    assert mdnn.datasets.read_text(folder) == "a text\n\na text"
    (folder / "c.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(mdnn.MdnnError, match=r"c\.txt' is a link that leads out of the folder"):
        mdnn.datasets.read_text(folder)


def test_a_link_in_a_run_folder(tiny_run, tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(tiny_run, run)
    (run / "samples").rename(elsewhere)
    (run / "samples").symlink_to(elsewhere)
    (elsewhere / ".tmp123456").write_text("mine")
    config = tiny.load_config(tmp_path, "train.steps=301")
    with pytest.raises(mdnn.MdnnError, match="samples is a link"):
        mdnn.train(config, run, resume=True, show=False)
    assert (elsewhere / ".tmp123456").read_text() == "mine"


def test_a_network_that_is_too_large(tmp_path, capsys):
    config = tiny.write_config(tmp_path)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for settings, word in (
        (["backbone.width=200000000"], "limits.parameters"),
        (["context.grid=[200000]", "backbone.layer.0.mixer.0.wiring=causal"], "limits.parameters"),
        (["context.grid=[10000, 9000]", "backbone.layer.0.mixer.0.sharing=separate"], "limits."),
        (["backbone.depth=1000000000"], "limits.layers"),
        (["refeed.steps=1000000", "backbone.depth=1000000"], "limits.layers"),
        (["backbone.width=" + "9" * 300], "backbone.width"),
        (["context.grid=[" + "9" * 300 + "]"], "limits.positions"),
    ):
        sets = [word for setting in settings for word in ("--set", setting)]
        assert word in refused(capsys, "inspect", config, *sets)
    # In kilobytes; what was refused would have taken gigabytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start < 1 << 20
    # The limit is a word.
    with pytest.raises(mdnn.MdnnError, match=r"limits\.parameters: expected at most 1,000 w"):
        mdnn.build(tiny.load_config(tmp_path, "limits.parameters=1000"))
    assert mdnn.build(tiny.load_config(tmp_path, "limits.parameters=100000")).count_params() > 1000


def test_a_run_has_no_more_weights_than_its_file(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    text = (run / "config.toml").read_text()
    assert "width = 16" in text
    (run / "config.toml").write_text(text.replace("width = 16", "width = 16000"))
    with pytest.raises(mdnn.MdnnError, match=r"holds fewer weights than config\.toml asks for"):
        mdnn.load(run)


PROGRAM = """
import json, random, resource, sys, time
from pathlib import Path
import attacks
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
kinds = attacks.kinds(folder)
attacks.surroundings(folder)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))
report = {}
for kind in kinds:
    path, end, tried, refused = folder / kind.name, time.monotonic() + seconds, 0, 0
    draw = random.Random(f"long {kind.name}")
    while time.monotonic() < end:
        start = time.monotonic()
        refused += attacks.fuzz(kind, path, draw, 20)
        tried += 20
        assert time.monotonic() - start < 60, kind.name
    path.unlink()
    report[kind.name] = [tried, refused]
print(json.dumps(report))
"""


@pytest.mark.long
def test_changed_files_for_minutes(tmp_path):
    seconds = float(os.environ.get("MDNN_FUZZ_SECONDS", "20"))
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path, str(seconds)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    report = json.loads(done.stdout)
    print(json.dumps(report))
    assert set(report) == set(NAMES)
    for name, (tried, refused) in report.items():
        assert tried >= 20, name
        assert refused > 0, name
