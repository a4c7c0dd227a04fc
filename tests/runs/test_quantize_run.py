"""Run folders with small weights: opened as any other, made whole or not at all."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from backends import to_numpy
from networks import make_config, mix, randomize

import mdnn
from mdnn import MdnnError, build
from mdnn.runs.item_statistics import write_item_statistics
from mdnn.runs.quantization import DTYPES, pack_weights, unpack_weights
from mdnn.runs.run_files import weights_dtype, write_run
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import arrays_by_path, read_arrays, write_arrays

WORDS = ("the", "naïve", "日本")
CONFIG = make_config(
    mix({"groups": 2}, gate="silu"),
    {"kind": "feedforward", "gate": "silu", "width": 64},
    width=32,
    tokens={"modalities": ["text", "word"], "words": 5, "letters": 3},
    refeed={"steps": 2},
)
FILES = ["config.toml", "model.safetensors", "run.json", "words.json"]


@pytest.fixture(scope="module")
def model():
    return randomize(build(CONFIG, WORDS))


@pytest.fixture
def run(tmp_path, model):
    folder = tmp_path / "run"
    folder.mkdir()
    write_run(folder, CONFIG, WORDS, model)
    return folder


def refused(*args):
    """The one line with which something is refused."""
    with pytest.raises(MdnnError) as error:
        mdnn.quantize(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_small_run_is_its_model_packed(run, model, dtype):
    small = mdnn.quantize(run, dtype)
    assert small == run.with_name(f"run-{dtype}")
    assert sorted(os.listdir(small)) == FILES
    assert (weights_dtype(run), weights_dtype(small)) == ("float32", dtype)
    opened = open_run(small)
    assert (opened.config, opened.words, opened.dtype) == (CONFIG, WORDS, dtype)
    packed, about = pack_weights(arrays_by_path(model.weights), dtype)
    assert read_arrays(small / "model.safetensors")[0].keys() == packed.keys()
    expected = unpack_weights(packed, about, "")
    found = arrays_by_path(opened.model.weights)
    assert found.keys() == expected.keys() == arrays_by_path(model.weights).keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    kernel = next(name for name in packed if name.endswith("feedforward/dense_in/kernel"))
    assert packed[kernel].dtype == {"float16": "f2", "int8": "i1", "int4": "u1"}[dtype]

    # What the file holds beside its arrays: names, shapes and how each is stored.
    size = (small / "model.safetensors").stat().st_size
    assert 0 < size - sum(array.nbytes for array in packed.values()) < 300 * len(packed)


def test_what_items_were_seen_is_kept(run):
    seen = {"longest": {"text": 5}, "shapes": {"grey": [(4, 4)]}}
    write_item_statistics(run, seen)
    assert open_run(mdnn.quantize(run, "int8")).item_statistics == seen


def test_where_it_is_made(run, monkeypatch):
    assert mdnn.quantize(open_run(run), "float16", run.parent / "a/b/c").is_dir()
    monkeypatch.chdir(run)
    assert mdnn.quantize(".", "int8") == run.with_name("run-int8")
    monkeypatch.chdir(run.parent)
    assert mdnn.quantize("run", "int4") == Path("run-int4")
    modes = [stat.S_IMODE(os.stat(name).st_mode) for name in ("run", "run-int4")]
    assert modes[0] == modes[1]


def test_what_is_refused(run):
    files = sorted(run.parent.rglob("*"))
    assert refused(run, "in4").startswith("to: unknown 'in4' (did you mean 'int4'?)")
    where = run.parent / "none"
    assert refused(where) == f"{where} is not a run folder: there is nothing there"
    assert refused(run, "int8", run) == f"out: {run} already exists; choose another folder"
    file = run / "config.toml"
    assert refused(run, "int8", file) == f"out: {file} already exists; choose another folder"
    assert sorted(run.parent.rglob("*")) == files
    small = mdnn.quantize(run)
    assert refused(small, "int4") == (
        f"{small} has int8 weights already: expected the run from which they were made"
    )
    assert refused(run) == f"out: {small} already exists; choose another folder"


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_run_that_could_not_be_written(run, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("mdnn.runs.quantize_run.write_arrays", fail)
    with pytest.raises(type(error)):
        mdnn.quantize(run, "int8", run.parent / "a/b")
    assert os.listdir(run.parent) == ["run"]


def test_weights_that_do_not_fit(run):
    """Of the run it is made from, and of the one that was made."""
    small = mdnn.quantize(run, "int4")
    path = small / "model.safetensors"
    arrays, about = read_arrays(path)
    name = next(name for name in arrays if name.endswith("feedforward/dense_in/kernel"))
    write_arrays(path, arrays | {name: arrays[name].astype("int8")}, about)
    with pytest.raises(MdnnError, match=r"expected '.*dense_in/kernel' .* in int4, found int8"):
        mdnn.load(small)
    arrays.pop(f"{name}:scales")
    write_arrays(path, arrays, about)
    with pytest.raises(MdnnError, match=r"lacks weight '.*dense_in/kernel:scales'"):
        mdnn.load(small)
    other = make_config(mix({"groups": 2}), width=16)
    write_run(run, other, (), build(other))
    (run / "config.toml").write_text(CONFIG.to_toml(), encoding="utf-8")
    assert "model.safetensors" in refused(run, "int8")
    (run / "model.safetensors").write_bytes(b"half")
    assert "is not a readable safetensors file" in refused(run, "int8")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_small_run_written_anew_is_whole_again(run, tmp_path, dtype):
    opened = open_run(mdnn.quantize(run, dtype))
    again = tmp_path / "again"
    again.mkdir()
    write_run(again, opened.config, opened.words, opened.model)
    assert weights_dtype(again) == "float32"
    for one, other in zip(opened.model.weights, mdnn.load(again).weights, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
