"""A registered modality in the items task: it is trained, evaluated, generated and exported."""

import json

import keras
import numpy as np
import pytest

import mdnn
from mdnn.cli import main
from mdnn.config.load import Config
from mdnn.datasets.media.media_files import read_item, write_item
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item, as_item
from mdnn.tokens.modalities import MODALITIES

SEASONS = {"winter": [-3.5, -2.0, -4.5], "summer": [24.0, 26.5, 31.0]}

CONFIG = """
data = { source = "manifest.jsonl", order = "pairs", validation = 0.5 }
tokens.modalities = ["text", "weather"]
context = { layout = "items", grid = [16] }
loss.modality.weather = 0.75
backbone = { width = 32, depth = 1, layer = [{ mixer = [{ wiring = "causal" }] }] }
[train]
steps = 120
batch_size = 8
sample = 0
num_evaluations = 0
optimizer = { learning_rate = 0.02, warmup_steps = 1 }
"""


@pytest.fixture(scope="module", autouse=True)
def weather():
    """The modality, registered for the tests of this file."""
    from weather_modality import register

    yield register()
    del MODALITIES["weather"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, weather):
    folder = tmp_path_factory.mktemp("weather")
    lines = [
        {"items": [{"text": word}, {"weather": values}], "split": split}
        for word, values in SEASONS.items()
        for split in ("train", "validation")
    ]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    config = CONFIG.replace("manifest.jsonl", str(folder / "manifest.jsonl"))
    (folder / "weather.toml").write_text(config, encoding="utf-8")
    result = mdnn.train(folder / "weather.toml", folder / "run", show=False)
    assert result["loss"] < 0.5
    return folder / "run"


def test_it_becomes_tokens_and_values_again():
    tokenizer, value = ItemTokenizer(), np.array([-20, 0.5, 43.5], "float32")
    tokens = tokenizer.tokens(value, number=2)
    assert tokens[:, [0, 1, 4, 7]].tolist() == [[11, 0, 0, 2], [11, 41, 1, 2], [11, 127, 2, 2]]
    item = tokenizer.item(tokens)
    assert (item.kind, item.rate, tokenizer.count(item)) == ("weather", None, 3)
    np.testing.assert_array_equal(item.value, value)
    with pytest.raises(mdnn.MdnnError, match=r"expected float32 \[readings\], received float64 "):
        Item("weather", np.zeros(2))


def test_its_files_are_read_and_written(tmp_path):
    write_item(np.array([1.5, -2], "float32"), tmp_path / "a.csv")
    item = read_item(tmp_path / "a.csv")
    assert (item.kind, item.value.tolist()) == ("weather", [1.5, -2.0])
    with pytest.raises(mdnn.MdnnError, match=r"expected a file \.csv for an item of kind weather"):
        write_item(item, tmp_path / "a.wav")


def test_its_config_keys(run):
    config = mdnn.load_config(run / "config.toml")
    assert config.loss.modality.weather == 0.75
    assert Config.from_dict(
        {"train": {"steps": 1}, "backbone": {"layer": [{"kind": "feedforward"}]}}
    )
    with pytest.raises(mdnn.MdnnError, match=r"modality\.weathr' \(did you mean 'weather'"):
        mdnn.load_config(run / "config.toml", ["loss.modality.weathr=1"])


def test_it_is_evaluated_and_generated(run, tmp_path, capsys):
    kinds = mdnn.evaluate(run)["modes"]["autoregressive"]["kinds"]
    assert set(kinds) == {"text", "weather"}
    answer = mdnn.generate(run, "summer", output="weather", temperature=0.0)
    np.testing.assert_array_equal(answer, np.array(SEASONS["summer"], "float32"))
    assert mdnn.generate(run, as_item(answer), output="text", temperature=0.0) == "summer"
    assert len(mdnn.generate(run, "winter", output="weather 2", temperature=0.0)) == 2
    out = tmp_path / "answer.csv"
    command = ["generate", str(run), "--prompt", "winter", "--output", "weather"]
    assert main([*command, "--temperature", "0", "--out", str(out)]) == 0
    assert out.read_text() == "-3.5\n-2.0\n-4.5\n"
    assert main(command) == 2
    assert "--out: expected a file .csv for weather, received none" in capsys.readouterr().err


def test_an_unknown_kind_of_output_is_refused(run):
    with pytest.raises(mdnn.MdnnError, match=r"unknown 'weathe' \(did you mean 'weather'"):
        mdnn.generate(run, "summer", output="weathe")
    with pytest.raises(mdnn.MdnnError, match="expected 'weather READINGS', received 'weather"):
        mdnn.generate(run, "summer", output="weather 2x2")


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exported by TensorFlow alone")
def test_it_is_exported(run, tmp_path):
    import tensorflow as tf

    served = tf.saved_model.load(str(mdnn.export(run, tmp_path / "served")))
    prompt = {
        "text": ["summer", ""],
        "image": ["", ""],
        "audio": ["", ""],
        "weather": ["", "-3.5\n-2.0\n-4.5\n"],
    }
    prompt = {name: tf.constant(values) for name, values in prompt.items()}
    settings = {"seed": tf.constant(0), "temperature": tf.constant(0.0)}
    settings["decoding"] = tf.constant("autoregressive")
    answers = served.signatures["answer_weather"](**prompt, **settings)["weather"].numpy()
    assert answers[0] == b"24.0\n26.5\n31.0\n"
