"""`.keras` files: whole networks come back, and what is not a layer of ours is refused."""

import io
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tiny
from backends import JIT, to_numpy

import mdnn
from mdnn.safety.keras_files import load_keras


@pytest.mark.parametrize("words", [(), ("the", "cat", "naïve")])
def test_a_network_comes_back(tmp_path, words):
    settings = ("refeed.steps=2", "refeed.initial_state=learned", *(tiny.WORDS if words else ()))
    config = tiny.load_config(tmp_path, *settings)
    model = mdnn.build(config, words)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    model.save(tmp_path / "network.keras")
    loaded = mdnn.load(tmp_path / "network.keras")
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]
    tokens = np.zeros((1, config.context.positions, 8), "int32")
    tokens[..., 0], tokens[..., 3] = 1, 97
    given = {"tokens": tokens, "targets": tokens}
    np.testing.assert_allclose(to_numpy(loaded(given)), to_numpy(model(given)), rtol=1e-5)
    # Its loss is registered, too.
    loaded.compile(keras.optimizers.SGD(0.1), loss=mdnn.TokenCrossEntropy(), jit_compile=JIT)


def test_networks_of_items_come_back(tmp_path):
    model = mdnn.build(tiny.load_items(tmp_path))
    model.save(tmp_path / "network.keras")
    loaded = load_keras(tmp_path / "network.keras")
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


class Mine(keras.layers.Layer):
    """A layer that is registered nowhere."""

    def call(self, x):
        os.environ["MDNN_WAS_RUN"] = "yes"
        return x


@pytest.mark.filterwarnings("ignore:The .keras.Lambda")
@pytest.mark.filterwarnings("ignore:The object being serialized")
@pytest.mark.parametrize(
    "layer", [keras.layers.Lambda(lambda x: x), Mine()], ids=["lambda", "not registered"]
)
def test_other_programs_are_refused(tmp_path, layer, monkeypatch):
    inputs = keras.Input((3,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "other.keras")
    monkeypatch.delenv("MDNN_WAS_RUN", raising=False)
    with pytest.raises(mdnn.MdnnError, match=r"other\.keras names '.*', which is not a layer"):
        mdnn.load(tmp_path / "other.keras")
    assert "MDNN_WAS_RUN" not in os.environ


def test_keras_own_layers_are_taken(tmp_path):
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(2, activation="gelu", kernel_regularizer="l2")(inputs)
    outputs = keras.layers.Dropout(0.1)(keras.layers.LayerNormalization()(outputs))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "own.keras")
    x = np.ones((1, 3), "float32")
    np.testing.assert_allclose(
        to_numpy(mdnn.load(tmp_path / "own.keras")(x)), to_numpy(model(x)), rtol=1e-6
    )


@pytest.mark.parametrize("steps", [1, 2])
def test_a_network_of_an_older_mdnn(tmp_path, steps):
    """It opens unless its weights have names of layers that are called otherwise now."""
    path = tmp_path / "network.keras"
    mdnn.build(tiny.load_config(tmp_path, f"refeed.steps={steps}")).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = parts["config.json"].replace(b"ncoordinate = 1.0", b"nplace = 0.5")
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        if steps > 1:
            file["layers/refeed"].move("blocks", "branches")
    parts["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    if steps == 1:
        assert mdnn.load(path).config.loss.step.coordinate == 0.5
        return
    with pytest.raises(mdnn.MdnnError, match=r"network\.keras was saved by an older mdnn"):
        mdnn.load(path)
