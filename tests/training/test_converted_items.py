"""`data.convert` from end to end: refused with its key, converted by the config or the manifest."""

import json

import keras
import numpy as np
import pytest
import tiny
from PIL import Image

import mdnn
from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.tasks import task_for

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="mdnn.train runs on TensorFlow and JAX"
)


@pytest.fixture
def folder(tmp_path):
    """The tiny network's items, one picture of which is half transparent and in colors."""
    tiny.write_items(tmp_path)
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[..., 0], picture[..., 3] = 200, 128
    Image.fromarray(picture).save(tmp_path / "one-1.png")
    return tmp_path


def open_task(folder, *settings):
    """Reads all items, as a training does before its first step."""
    return task_for(mdnn.load_config(folder / "items.toml", settings)).open()


def change_manifest(folder, change):
    path = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def test_without_it_training_is_refused(folder, capsys):
    words = ["train", str(folder / "items.toml"), "--out", str(folder / "run")]
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "one-1.png" in error
    assert "data.convert" in error
    assert not (folder / "run").exists()


def test_from_training_to_an_answer(folder, capsys):
    settings = (*tiny.QUICK[:2], "train.steps=1", "data.convert=true", "train.final_evaluation=40")
    settings += ("train.objectives.parallel=0", "train.objectives.masked_diffusion=0")
    words = [word for setting in settings for word in ("--set", setting)]
    run = str(folder / "run")
    assert main(["train", str(folder / "items.toml"), "--out", run, *words]) == 0
    # The run converts what its config allows, and prompts as well.
    assert main(["generate", run, "--item", str(folder / "one-1.png"), "--output", "text 1"]) == 0
    config = folder / "run" / "config.toml"
    config.write_text(config.read_text("utf-8").replace("convert = true", "convert = false"))
    words = ["generate", run, "--item", str(folder / "one-1.png"), "--output", "text 1"]
    assert main(words) == 2
    assert "--convert" in capsys.readouterr().err
    assert main([*words, "--convert"]) == 0


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
def test_the_config_the_line_or_the_part_says_it(folder, convert):
    splits = open_task(folder, *convert(folder)).splits
    values = [
        entry.read().value
        for line in [*splits.train, *splits.validation]
        for part in line.parts
        for entry in part
        if "one-1.png" in getattr(entry, "paths", ("",))[0]
    ]
    # Half of (200, 0, 0) over white, as grey: 0.299 * 227 + 0.587 * 127 + 0.114 * 127.
    assert len(values) == 1
    assert set(values[0].ravel().tolist()) <= set(range(155, 160))


def test_a_part_may_refuse_what_the_config_allows(folder):
    change_manifest(folder, lambda line: [part.update(convert=False) for part in line["items"]])
    with pytest.raises(MdnnError, match=r"one-1\.png"):
        open_task(folder, "data.convert=true")
