"""Networks that hold codes of 8 or 4 bits compute what their expanded weights compute."""

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.runs import quantization_search
from mdnn.runs.packed_variable import PackedVariable
from mdnn.runs.packed_words import (
    expanded_columns,
    expanded_matrix,
    packed_words,
    row_product,
    rows_product,
)
from mdnn.runs.quantization import Stored, expanded
from mdnn.runs.quantization_search import best_codes
from mdnn.runs.run_folder import open_run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="codes are kept on TensorFlow alone"
)
RNG = np.random.default_rng(0)


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("offsets", [False, True])
def test_products_of_codes(dtype, turned, offsets):
    """Products, rows and the whole matrix are those of the expanded array."""
    if offsets and dtype == "int8":
        return
    array = RNG.standard_normal((128, 64)).astype("float32")
    codes, scales, _ = best_codes(array, dtype, (turned,))
    arrays = [codes, scales]
    if offsets:
        arrays.append(RNG.standard_normal(scales.shape).astype("float32"))
    stored = Stored(dtype, array.shape, turned, offsets)
    right = to_numpy(expanded(stored, *arrays))
    right = right if turned else right.T
    words = [keras.ops.convert_to_tensor(part) for part in packed_words(stored, arrays)]
    assert words[0].shape[-1] == right.shape[1]
    np.testing.assert_allclose(to_numpy(expanded_matrix(stored, words)), right, atol=1e-5)
    x = RNG.standard_normal((3, right.shape[0])).astype("float32")
    product = to_numpy(rows_product(stored, words, keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(product, x @ right, atol=1e-3)
    one = to_numpy(row_product(stored, words, keras.ops.convert_to_tensor(x[1])))
    np.testing.assert_allclose(one, x[1] @ right, atol=1e-3)
    index = keras.ops.convert_to_tensor([[3, 0], [7, 7]])
    columns = to_numpy(expanded_columns(stored, words, index))
    np.testing.assert_allclose(columns, right.T[[[3, 0], [7, 7]]], atol=1e-5)


@pytest.fixture(scope="module", params=["int8", "int4"])
def runs(request, tmp_path_factory):
    """A run of subwords with small weights, packed and expanded."""
    folder = tmp_path_factory.mktemp("packed")
    subwords = ('tokens.modalities=["subword"]', "tokens.subwords=320", "tokens.tied=true")
    sizes = ("backbone.width=64", "tokens.coordinates=false", *subwords)
    config = tiny.load_config(folder, *tiny.QUICK, *sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantization_search, "LEAST_CODES", 4096)
        mdnn.train(config, folder / "run", show=False)
        small = open_run(mdnn.quantize(folder / "run", request.param))
        packed = small.holding(small.model)
    return packed, small.holding(small.opened())


def test_large_weights_are_codes(runs):
    packed, floats = runs
    names = {w.path for w in packed.model.weights if isinstance(w, PackedVariable)}
    assert names == {
        "embedding/subword_byte_1",
        "block_0_mix/dense_in/kernel",
        "block_0_mix/dense_out/kernel",
        "block_0_feedforward/dense_in/kernel",
        "block_0_feedforward/dense_out/kernel",
    }
    assert all(weight.inputs for weight in packed.model.weights if weight.path in names)
    assert not any(isinstance(weight, PackedVariable) for weight in floats.model.weights)
    for one, other in zip(packed.model.weights, floats.model.weights, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-6)
    with pytest.raises(TypeError, match="cannot be assigned"):
        next(w for w in packed.model.weights if w.path in names).assign(np.zeros((320, 64)))


def test_they_write_and_score_the_same(runs):
    packed, _ = runs
    tokens = packed.tokenizer.tokens(RNG.integers(0, 300, (1, 8)))
    one, other = (to_numpy(run.model.scores(tokens)) for run in runs)
    np.testing.assert_allclose(one, other, atol=1e-4)
    texts = [mdnn.generate(run, "The cat", length=30, temperature=0) for run in runs]
    assert texts[0] == texts[1]
    losses = [mdnn.evaluate(run, tiny.TEXT[:300], sliding=False)["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
