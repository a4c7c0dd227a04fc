"""Networks with Keras on PyTorch: what they learn with `fit`, and what they write."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.errors import MdnnError
from mdnn.tokens import TextTokenizer
from mdnn.training.checkpoint import read_newest

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's own")

ANSWERS = """
import json, sys, mdnn
text, items = sys.argv[1:]
def texts(**settings):
    return mdnn.generate(text, "The ", length=40, **settings)
print(json.dumps({
    "greedy": texts(temperature=0),
    "drawn": [texts(seed=seed) for seed in (0, 1, -5)],
    "filtered": texts(temperature=1.2, top_k=5, top_p=0.9, seed=3),
    "slid": mdnn.generate(text, "The cat sat on the mat.", length=20),
    "picture": mdnn.generate(items, ["one"], output="grey 4x4", seed=2).tolist(),
    "word": mdnn.generate(
        items, [mdnn.generate(items, ["two"], output="grey 4x4")], output="text"
    ),
    "unmasked": mdnn.generate(
        items, ["one"], output="grey 4x4", decoding="masked_diffusion", num_denoising_steps=3
    ).tolist(),
    "loss": mdnn.evaluate(text, "The dog sat on the mat.")["loss"],
    "loss of items": mdnn.evaluate(items)["loss"],
}))
"""
"""Prints answers and losses of a run of texts and one of items."""


def answers(backend, tiny_run, items_run):
    """Returns what a process with Keras on a backend prints, a dict."""
    command = [sys.executable, "-c", ANSWERS, str(tiny_run), str(items_run)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_same_answers_as_on_tensorflow(tiny_run, items_run):
    """For the same seeds; losses to float32's rounding."""
    own = answers("torch", tiny_run, items_run)
    other = answers("tensorflow", tiny_run, items_run)
    for name in ("loss", "loss of items"):
        assert own.pop(name) == pytest.approx(other.pop(name), rel=1e-5)
    assert own == other
    assert len(set(own["drawn"])) > 1


def test_fit_learns(tmp_path):
    """A stock optimizer, and dropout; the network writes afterwards, and comes back from a file."""
    config = tiny.load_config(tmp_path, "backbone.layer.0.dropout=0.1")
    model = mdnn.build(config)
    tokenizer = TextTokenizer()
    batches = mdnn.TextBatches(tokenizer.ids(tiny.TEXT), tokenizer, 8, 8, seed=1, steps=60)
    loss = mdnn.TokenCrossEntropy(["text"])
    model.compile(keras.optimizers.Adam(0.01), loss)
    losses = model.fit(batches, epochs=3, verbose=0).history["loss"]
    assert losses[2] < 0.8 * losses[0]
    model.save(tmp_path / "own.keras")
    loaded = mdnn.load(tmp_path / "own.keras")
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())


def test_a_training_grows_and_shrinks_back(tmp_path, tiny_run):
    """The state of a training on TensorFlow, whose counts of steps have 64 bits."""
    assert mdnn.grow(tiny_run, tmp_path / "large", ["backbone.depth=2"])["step"] == 300
    facts = mdnn.shrink(tmp_path / "large", tmp_path / "back", overrides=["backbone.depth=1"])
    assert facts["step"] == 300
    before, after = (read_newest(run)[0] for run in (tiny_run, tmp_path / "back"))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_what_pytorch_does_not_do(tmp_path, tiny_run):
    with pytest.raises(MdnnError, match="export needs the TensorFlow backend, Keras runs on torch"):
        mdnn.export(tiny_run, tmp_path / "served")
    command = [sys.executable, "-m", "mdnn", "serve", str(tiny_run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 2
    assert "serve needs the TensorFlow backend, Keras runs on torch" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_members_in_tandem_are_refused(tmp_path):
    config = tiny.load_config(tmp_path, "tandem.members=2")
    with pytest.raises(mdnn.MdnnError, match="expected the TensorFlow or JAX backend, Keras runs"):
        mdnn.build(config)
