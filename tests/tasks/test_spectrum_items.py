"""A network of words and sounds as grids: trained from WAV files, evaluated, asked, exported."""

import json

import keras
import numpy as np
import pytest

import mdnn
from mdnn.cli import main
from mdnn.datasets.items.item_splits import open_dataset
from mdnn.datasets.media.media_files import read_item, resample, write_item
from mdnn.tokens.items import Item
from mdnn.tokens.spectrum import Spectrum

TONES = {"low": 300, "high": 750}

CONFIG = """
data.source = "manifest.jsonl"
data.order = "pairs"
data.augment = { offset = 3, answers = ["spectrum"] }
tokens.modalities = ["text", "spectrum"]
tokens.sample_rate = 2000
tokens.coordinates = true
tokens.digits = 2
tokens.spectrum = { bands = 8, moments = 3, levels = 15 }
context = { layout = "items", grid = [5, 8], pad_to_multiple_of = 8 }
backbone = { width = 32, depth = 1, layer = [{ mixer = [{ wiring = "causal" }] }] }
[train]
steps = 80
batch_size = 8
sample = 0
num_evaluations = 0
optimizer = { learning_rate = 0.02, warmup_steps = 1 }
"""


def tone(hertz, rate, count):
    return np.rint(12_000 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype("int16")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tones")
    lines = []
    for word, hertz in TONES.items():
        # Files of 8 kHz, which are resampled to 2 kHz.
        write_item(Item("audio", tone(hertz, 8000, 96), 8000), folder / f"{word}.wav")
        items = [{"text": word}, {"audio": f"{word}.wav"}]
        lines += [{"items": items, "split": split} for split in ("train", "validation")]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    config = CONFIG.replace("manifest.jsonl", str(folder / "manifest.jsonl"))
    (folder / "tones.toml").write_text(config, encoding="utf-8")
    mdnn.train(folder / "tones.toml", folder / "run", show=False)
    return folder / "run"


def test_files_are_read_resampled_and_laid_out(run):
    config = mdnn.load_config(run / "config.toml")
    assert config.tokens.spectrum == Spectrum(bands=8, moments=3, levels=15)
    splits = open_dataset(config.data.source, rate=2000, kinds=("text", "spectrum"))
    items, _ = splits.train[0].draw(np.zeros(4, "uint64"))
    assert [(item.kind, item.rate) for item in items] == [("text", None), ("spectrum", 2000)]
    assert len(items[1].value) == 24
    statistics = json.loads((run / "item_statistics.json").read_text())
    assert statistics["shapes"] == {"spectrum": [[3, 8]]}
    assert statistics["longest"]["spectrum"] == 24


def test_it_is_evaluated(run):
    kinds = mdnn.evaluate(run)["modes"]["autoregressive"]["kinds"]
    assert kinds["text"]["loss"] < 0.5
    assert kinds["spectrum"]["loss"] < 3.0


def test_it_writes_sounds_and_hears_them(run, tmp_path, capsys):
    out = tmp_path / "low.wav"
    command = ["generate", str(run), "--prompt", "low", "--output", "audio"]
    assert main([*command, "--temperature", "0", "--out", str(out)]) == 0
    item = read_item(out)
    assert (item.kind, item.rate, item.value.shape) == ("audio", 2000, (24,))
    low = mdnn.generate(run, "low", output="spectrum", temperature=0.0)
    np.testing.assert_array_equal(low, item.value)
    # A string, an array, a file: samples are the network's kind of sound.
    learned = {word: resample(tone(hertz, 8000, 96), 8000, 2000) for word, hertz in TONES.items()}
    heard = [[out], [learned["high"]], [Item("audio", learned["low"], 2000)]]
    assert mdnn.generate(run, heard, output="text", temperature=0.0) == ["low", "high", "low"]
    assert main([*command[:-1], "spectrum 3x4", "--out", str(out)]) == 2
    assert "expected 'spectrum MOMENTSx8', the network's bands" in capsys.readouterr().err
    assert main(command) == 2
    assert "--out: expected a file .wav for spectrum, received none" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exported by TensorFlow alone")
def test_it_is_exported(run, tmp_path):
    import tensorflow as tf

    served = tf.saved_model.load(str(mdnn.export(run, tmp_path / "served")))
    high = resample(tone(750, 8000, 96), 8000, 2000)
    write_item(Item("audio", high, 2000), tmp_path / "high.wav")
    data = (tmp_path / "high.wav").read_bytes()
    settings = {"seed": tf.constant(0), "temperature": tf.constant(0.0)}
    settings["decoding"] = tf.constant("autoregressive")
    names = ("text", "image", "audio")
    prompt = dict(zip(names, map(tf.constant, (["low", ""], ["", ""], [b"", data])), strict=True))
    heard = served.signatures["answer_text"](**prompt, **settings)["text"].numpy()
    assert heard[1] == b"high"
    prompt = dict(zip(names, map(tf.constant, (["low"], [""], [""])), strict=True))
    written = served.signatures["answer_spectrum"](**prompt, **settings)["audio"].numpy()
    (tmp_path / "served.wav").write_bytes(written[0])
    expected = mdnn.generate(run, "low", output="audio", temperature=0.0)
    np.testing.assert_array_equal(read_item(tmp_path / "served.wav").value, expected)
