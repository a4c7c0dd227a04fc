"""Small weights inside a SavedModel: as small as in the run folder, answering as the run does."""

import keras
import numpy as np
import pytest

import mdnn
from mdnn.runs.quantization import DTYPES
from mdnn.runs.run_files import WEIGHTS
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import arrays_by_path, read_arrays

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are TensorFlow's", allow_module_level=True)

import tensorflow as tf

from mdnn.serving.export.exported_network import ExportedNetwork
from mdnn.serving.export.saved_weights import SavedModelWeights


@pytest.fixture(scope="module", params=DTYPES)
def small(request, tiny_run, tmp_path_factory):
    return open_run(mdnn.quantize(tiny_run, request.param, tmp_path_factory.mktemp("held") / "run"))


def test_what_is_held(small, tiny_run):
    """The arrays of the weights file, and no weight as float32 beside them."""
    arrays, _ = read_arrays(small.path / WEIGHTS)
    held = SavedModelWeights(small).variables
    assert len(held) == len(arrays) + len(small.model.variables) - len(small.model.weights)
    for variable, array in zip(held, arrays.values(), strict=False):
        np.testing.assert_array_equal(variable.numpy(), array)
    whole = SavedModelWeights(open_run(tiny_run)).variables
    assert [v.shape for v in whole] == [v.shape for v in small.model.variables]


def test_the_network_is_run_with_what_is_held(small):
    served = ExportedNetwork(small)
    tokens = np.zeros((2, 8, 8), "int32")
    tokens[:, :5] = small.tokenizer.tokens(small.tokenizer.ids("The c"))
    # The network's own weights are not looked at: they are put out of the way.
    scores = np.asarray(small.model({"tokens": tokens, "targets": None}))
    own = list(arrays_by_path(small.model.weights).values())
    for weight in small.model.weights:
        weight.assign(weight * np.nan)
    assert np.isnan(small.model({"tokens": tokens, "targets": None})).all()
    try:
        found = served.signatures()["serving_default"](tf.constant(tokens))["scores"]
    finally:
        for weight, array in zip(small.model.weights, own, strict=True):
            weight.assign(array)
    np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("small", ["int4"], indirect=True)
def test_a_saved_model(small, tiny_run, tmp_path):
    """From a file: its text, and how many bytes of weights it has."""
    target = mdnn.export(small, tmp_path / "served", xla=False)
    loaded = tf.saved_model.load(str(target))
    found = loaded.signatures["generate"](
        prompt=tf.constant(["The ", "a"]),
        length=tf.constant([20, 12]),
        temperature=tf.constant(0.7),
        seed=tf.constant(3),
    )["text"]
    settings = {"temperature": 0.7, "seed": 3}
    expected = [
        mdnn.generate(small, text, length=n, **settings) for text, n in (("The ", 20), ("a", 12))
    ]
    assert [text.decode() for text in found.numpy()] == expected
    held = sum(file.stat().st_size for file in (target / "variables").glob("*"))
    own, whole = ((folder / WEIGHTS).stat().st_size for folder in (small.path, tiny_run))
    assert held < own + 5_000 < whole
