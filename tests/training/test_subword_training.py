"""mdnn's own networks on subwords: trained, written with, evaluated per character, kept."""

import math

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.runs.run_folder import open_run

SUBWORDS = ('tokens.modalities=["subword"]', "tokens.subwords=300", "tokens.tied=true")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="mdnn.train runs on TensorFlow and JAX"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subwords")
    config = tiny.load_config(folder, *SUBWORDS, "train.num_evaluations=0", "train.sample=0")
    result = mdnn.train(config, folder / "run", show=False)
    return open_run(folder / "run"), result


def test_it_learns_in_nats_per_character(run):
    run, result = run
    assert result["loss"] < 0.5
    assert result["loss"] < math.log(300) / 2
    assert result["characters"] > len(tiny.TEXT) // 10 - 40
    assert run.tokenizer.size == 300
    assert (run.path / "tokenizer.json").is_file()


def test_it_writes_what_it_learnt(run):
    run, _ = run
    text = mdnn.generate(run, "The cat sat on", length=20, temperature=0)
    assert text.startswith(" the mat. The dog")
    assert len(text) == 20


def test_the_table_is_the_head(run):
    network = run[0].model
    names = [weight.path for weight in network.weights]
    assert "embedding/subword_byte_1" in names
    assert "heads/subword_byte_1_kernel" not in names
    tokens = run[0].tokenizer.tokens(np.arange(8)[None])
    hidden = keras.ops.convert_to_numpy(network.hidden(tokens))
    table = keras.ops.convert_to_numpy(network.embedding.weights[0])
    bias = keras.ops.convert_to_numpy(network.heads.weights[0])
    right = hidden @ table.T + bias
    assert np.abs(keras.ops.convert_to_numpy(network.scores(tokens)) - right).max() < 1e-4


def test_it_is_saved_and_goes_on(run, tmp_path):
    run, _ = run
    run.model.save(tmp_path / "a.keras")
    again = mdnn.load(tmp_path / "a.keras")
    assert again.words == run.words
    text = mdnn.generate(run, "The dog", length=12, temperature=0)
    assert mdnn.generate(again, "The dog", length=12, temperature=0) == text
    mdnn.save(again, tmp_path / "saved")
    assert open_run(tmp_path / "saved").words == run.words
    small = mdnn.quantize(run, "int8", tmp_path / "small")
    assert mdnn.evaluate(small, tiny.TEXT[:200], sliding=False)["loss"] < 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("tokens.subwords=300",), "require each other"),
        (('tokens.modalities=["subword"]',), "require each other"),
        (("tokens.tied=true",), "tokens.tied: expected tokens.subwords"),
        ((*SUBWORDS, "tokens.subwords=100"), "at least 256"),
        ((*SUBWORDS, "tokens.heads=full"), "one table and one head"),
        (
            ('tokens.modalities=["text", "subword"]', "tokens.subwords=300"),
            "expected 'subword' alone",
        ),
    ],
)
def test_words_of_a_config_that_do_not_fit(settings, message, tmp_path):
    with pytest.raises(mdnn.MdnnError, match=message):
        tiny.load_config(tmp_path, *settings)
