"""`data.convert` from end to end: refused with its key, converted by the config or the manifest."""

import json

import keras
import numpy as np
import pytest
import tiny
from PIL import Image

import mdnn
from mdnn.cli import main

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="mdnn.train runs on TensorFlow and JAX"
)


@pytest.fixture
def folder(tmp_path):
    """The tiny network's items, one picture of which is half transparent and in colours."""
    tiny.write_items(tmp_path)
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[..., 0], picture[..., 3] = 200, 128
    Image.fromarray(picture).save(tmp_path / "one-1.png")
    return tmp_path


def train(folder, *settings):
    quick = [word for setting in (*tiny.QUICK[:1], "train.steps=2", *settings)
             for word in ("--set", setting)]  # fmt: skip
    words = ["train", str(folder / "items.toml"), "--out", str(folder / "run"), *quick]
    return main(words)


def change_manifest(folder, change):
    path = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def test_without_it_training_is_refused(folder, capsys):
    assert train(folder) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "one-1.png" in error
    assert "data.convert" in error
    assert not (folder / "run").exists()


def convert_config(folder):
    return ("data.convert=true",)


def convert_lines(folder):
    change_manifest(folder, lambda line: line.update(convert=True))
    return ()


def convert_parts(folder):
    change_manifest(
        folder,
        lambda line: [part.update(convert=True) for part in line["items"] if "image" in part],
    )
    return ()


@pytest.mark.parametrize("convert", [convert_config, convert_lines, convert_parts])
def test_the_config_the_line_or_the_part_says_it(folder, convert, capsys):
    assert train(folder, *convert(folder)) == 0
    run = folder / "run"
    # The run reads its source anew, with its own config.
    assert main(["evaluate", str(run)]) == 0
    words = ["generate", str(run), "--item", str(folder / "one-1.png"), "--output", "text 3"]
    assert main(words) == 2
    assert "data.convert" in capsys.readouterr().err or convert is convert_config
    assert main([*words, "--convert"]) == 0
    values = {
        entry.read().value.tobytes()
        for line in mdnn.open_dataset(
            folder, 0.25, rate=1000, kinds=("text", "grey", "audio"),
            convert=convert is convert_config
        ).train
        for part in line.parts
        for entry in part
        if "one-1.png" in getattr(entry, "paths", ("",))[0]
    }  # fmt: skip
    # Half of 200, 0, 0 over white, as grey: 0.299 * 227 + 0.701 * 127.
    assert all(set(value) <= set(range(155, 160)) for value in values)


def test_a_part_may_refuse_what_the_config_allows(folder, capsys):
    change_manifest(folder, lambda line: [part.update(convert=False) for part in line["items"]])
    assert train(folder, "data.convert=true") == 2
    assert "one-1.png" in capsys.readouterr().err.splitlines()[-1]
