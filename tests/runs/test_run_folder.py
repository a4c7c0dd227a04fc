"""Run folders: what is written is what is read, and what is not a run is refused."""

import json
import os

import keras
import numpy as np
import pytest
from backends import to_numpy
from networks import make_config, mix, randomize, text_tokens

import mdnn
from mdnn import MdnnError, build
from mdnn.runs import safetensors_io
from mdnn.runs.cached_runs import MAX_OPENED, cached_run
from mdnn.runs.run_files import read_weights, write_run
from mdnn.runs.run_folder import Run, open_run
from mdnn.runs.safetensors_io import read_arrays, write_arrays

WORDS = ("the", "naïve", "日本")
CONFIG = make_config(mix({"groups": 2}), refeed={"steps": 2, "initial_state": "learned"})
WITH_WORDS = make_config(
    mix({"groups": 2}), tokens={"modalities": ["text", "word"], "words": 5, "letters": 3}
)
FILES = ["config.toml", "model.safetensors", "run.json"]


@pytest.fixture(scope="module")
def model():
    return randomize(build(CONFIG))


@pytest.fixture
def run(tmp_path, model):
    write_run(tmp_path, CONFIG, (), model)
    return tmp_path


def refused(function, *args):
    """The one line with which something is refused."""
    with pytest.raises(MdnnError) as error:
        function(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_same_weights(one, other):
    assert [w.path for w in one.weights] == [w.path for w in other.weights]
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_round_trip(run, model):
    assert sorted(os.listdir(run)) == FILES
    opened = open_run(str(run))
    assert (opened.path, opened.config, opened.words) == (run, CONFIG, ())
    loaded = mdnn.load(run)
    assert isinstance(loaded, keras.Model)
    assert_same_weights(loaded, model)
    tokens = {"tokens": text_tokens((1, 4)), "targets": text_tokens((1, 4))}
    np.testing.assert_allclose(to_numpy(loaded(tokens)), to_numpy(model(tokens)), rtol=1e-5)


def test_open_run_hands_a_run_on(run):
    opened = open_run(run)
    assert open_run(opened) is opened
    assert opened.model is mdnn.load(opened) is open_run(opened).model


def test_a_path_is_opened_once(run, model, monkeypatch):
    opened = cached_run(run)
    assert cached_run(opened) is opened
    monkeypatch.chdir(run.parent)
    assert cached_run(run.name) is cached_run(str(run)) is opened
    # A network that its owner may train on is never the one that others share.
    assert open_run(run) is not opened
    assert mdnn.load(run) is not opened.model
    assert_same_weights(opened.model, model)


def test_a_run_that_was_trained_on_is_opened_again(run, model):
    opened = cached_run(run)
    other = randomize(build(CONFIG), seed=1)
    write_run(run, CONFIG, (), other)
    again = cached_run(run)
    assert again is not opened
    assert_same_weights(again.model, other)
    (run / "model.safetensors").unlink()
    assert refused(cached_run, run) == f"{run} is not a run folder: it has no model.safetensors"


def test_few_runs_stay_open(tmp_path, model):
    paths = [tmp_path / str(number) for number in range(MAX_OPENED + 1)]
    for path in paths:
        path.mkdir()
        write_run(path, CONFIG, (), model)
    opened = [cached_run(path) for path in paths]
    assert [cached_run(path) is one for path, one in zip(paths[1:], opened[1:], strict=True)] == (
        [True] * MAX_OPENED
    )
    assert cached_run(paths[0]) is not opened[0]


def test_round_trip_with_words(tmp_path):
    model = randomize(build(WITH_WORDS, WORDS))
    write_run(tmp_path, WITH_WORDS, WORDS, model)
    assert sorted(os.listdir(tmp_path)) == [*FILES, "words.json"]
    opened = open_run(tmp_path)
    assert opened.words == WORDS
    assert_same_weights(opened.model, model)
    assert opened.tokenizer.text(opened.tokenizer.ids("the naïve 日本")) == "the naïve 日本"
    assert len(opened.tokenizer.ids("the 日本")) == 3


def test_writing_again_replaces(run, model):
    other = randomize(build(CONFIG), seed=1)
    write_run(run, CONFIG, (), other)
    assert sorted(os.listdir(run)) == FILES
    assert_same_weights(mdnn.load(run), other)


def test_no_run(tmp_path, run):
    where = tmp_path / "none"
    assert refused(open_run, where) == f"{where} is not a run folder: there is nothing there"
    file = run / "config.toml"
    assert refused(open_run, file) == f"{file} is not a run folder: there is a file there"
    where.mkdir()
    assert refused(open_run, where) == f"{where} is not a run folder: it has no config.toml"
    (run / "model.safetensors").unlink()
    assert refused(open_run, run) == f"{run} is not a run folder: it has no model.safetensors"


def test_a_damaged_config(run):
    (run / "config.toml").write_text("sed = 1")
    assert refused(open_run, run).startswith(f"{run}/config.toml: unknown key 'sed'")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'["the"', "not JSON: "),
        (b"\xff", "cannot be read: "),
        (b'{"the": 1}', ": expected a list of strings"),
        (b'["the", 1]', ": expected a list of strings"),
        (None, "cannot be read: "),
    ],
)
def test_damaged_words(tmp_path, content, message):
    write_run(tmp_path, WITH_WORDS, WORDS, build(WITH_WORDS, WORDS))
    path = tmp_path / "words.json"
    path.unlink() if content is None else path.write_bytes(content)
    found = refused(open_run, tmp_path)
    assert found.startswith(str(path))
    assert message in found


@pytest.mark.parametrize("words", [["the", "naïve"], ["the", "the", "naïve"], ["a b", "c", "d"]])
def test_words_that_do_not_fit_the_weights(tmp_path, words):
    write_run(tmp_path, WITH_WORDS, WORDS, build(WITH_WORDS, WORDS))
    (tmp_path / "words.json").write_text(json.dumps(words))
    assert refused(mdnn.load, tmp_path)


@pytest.mark.parametrize("part", [0, 4, 100, -1])
def test_truncated_weights(run, part):
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:part])
    message = refused(mdnn.load, run)
    assert message.startswith(f"{path} is not a readable safetensors file: ")


def change(arrays, name, what):
    array = arrays.pop(name)
    if what == "shape":
        arrays[name] = array[:-1]
    elif what == "dtype":
        arrays[name] = array.astype("float64")
    elif what == "unknown":
        arrays[name] = array
        arrays["other"] = array


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("shape", "expected 'heads/text_byte_3_bias' as float32 (256,), found float32 (255,)"),
        ("dtype", "expected 'heads/text_byte_3_bias' as float32 (256,), found float64 (256,)"),
        ("missing", "lacks weight 'heads/text_byte_3_bias'"),
        ("unknown", "has an unknown weight 'other'"),
    ],
)
def test_weights_that_do_not_fit_assign_nothing(run, what, message):
    path = run / "model.safetensors"
    arrays, _ = read_arrays(path)
    change(arrays, "heads/text_byte_3_bias", what)
    write_arrays(path, arrays)
    model = randomize(build(CONFIG), seed=2)
    before = [to_numpy(weight) for weight in model.weights]
    found = refused(read_weights, model.weights, path)
    assert found.startswith(str(path))
    assert message in found
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), old)


def test_arrays_and_what_is_said_of_them(tmp_path):
    path = tmp_path / "a.safetensors"
    # Neither has its numbers in the order in which they are stored.
    arrays = {"a/b": np.arange(6.0).reshape(2, 3).T, "c": np.asfortranarray(np.eye(3, 2, 1))}
    write_arrays(path, arrays, {"step": "7"})
    found, about = read_arrays(path)
    assert about == {"step": "7"}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_no_arrays(tmp_path):
    assert refused(read_arrays, tmp_path / "none") == f"no weights at {tmp_path}/none"
    assert refused(read_arrays, tmp_path).startswith(
        f"{tmp_path} is not a readable safetensors file"
    )


def test_a_write_that_fails_leaves_the_old_weights(run, model, monkeypatch):
    old = (run / "model.safetensors").read_bytes()

    def fail(path, arrays, about):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(safetensors_io, "write_file", fail)
    with pytest.raises(OSError, match="no space left"):
        write_run(run, CONFIG, (), model)
    assert (run / "model.safetensors").read_bytes() == old
    assert sorted(os.listdir(run)) == FILES


def test_a_run_is_its_folder():
    assert Run("a", CONFIG).words == ()
    assert Run("a", CONFIG) == Run("a", CONFIG)


def test_a_run_folder_of_an_older_mdnn(tmp_path):
    (tmp_path / "config.toml").write_text("[[backbone.branch]]\n[train]\nsteps = 1\n")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(mdnn.MdnnError, match=r"config\.toml was made by an older mdnn"):
        open_run(tmp_path)


def test_keys_that_had_another_name(run, model):
    """They are refused in a config, with today's name, but a run folder goes on opening."""
    file = run / "config.toml"
    text = file.read_text().replace("coordinate = 1.0", "place = 0.5")
    assert "place = 0.5" in text
    file.write_text(text)
    found = open_run(run)
    assert found.config.loss.step.coordinate == 0.5
    assert_same_weights(found.model, model)
    (run / "run.json").unlink()
    message = "unknown key 'loss.step.place' (did you mean 'coordinate'?)"
    assert refused(mdnn.load_config, file).endswith(message)
