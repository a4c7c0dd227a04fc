"""Steps in bfloat16: what computes so, and what does not."""

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.models.loss import TokenCrossEntropy
from mdnn.tokens.characters import TextTokenizer
from mdnn.training import mixed_precision as precision
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step import make_step


def test_layers_compute_in_bfloat16_while_it_lasts(tmp_path):
    model = mdnn.build(tiny.load_config(tmp_path))
    layers = precision.all_layers(model)
    with precision.compute_dtype_scope(model, "bfloat16"):
        assert {layer.compute_dtype for layer in layers} == {"bfloat16"}
        assert {layer.variable_dtype for layer in layers} == {"float32"}
    assert {layer.dtype_policy.name for layer in layers} == {"float32"}


def test_layers_of_other_dtypes_are_left_alone():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, dtype="float16")])
    with precision.compute_dtype_scope(model, "bfloat16"):
        assert model.layers[0].compute_dtype == "float16"
    assert model.layers[0].compute_dtype == "float16"


def test_policies_come_back_after_an_error(tmp_path):
    model = mdnn.build(tiny.load_config(tmp_path))
    with pytest.raises(RuntimeError), precision.compute_dtype_scope(model, "bfloat16"):
        raise RuntimeError
    assert {layer.dtype_policy.name for layer in precision.all_layers(model)} == {"float32"}


def test_a_step_in_bfloat16_is_nearly_that_in_float32(tmp_path):
    config = tiny.load_config(tmp_path)
    tokenizer = TextTokenizer()
    batches = TextBatches(
        tokenizer.ids("Nearly the same. " * 9), tokenizer, config.context.positions, 3, seed=0
    )
    losses, weights = {}, {}
    for word in ("float32", "bfloat16"):
        model = mdnn.build(config)
        optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
        step = make_step(model, TokenCrossEntropy(), optimizer, precision=word)
        losses[word] = [float(step(batches.at(k), 0.01)) for k in range(3)]
        step.sync()
        weights[word] = [keras.ops.convert_to_numpy(w) for w in model.weights]
        assert {w.dtype for w in weights[word]} == {np.dtype("float32")}
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.02)
    assert losses["bfloat16"] != losses["float32"]


def test_auto_asks_the_machine(monkeypatch):
    for has, dtype in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "machine_has_bfloat16", lambda has=has: has)
        assert precision.resolved("auto") == dtype
    assert precision.resolved("float32") == "float32"
    assert precision.resolved("bfloat16") == "bfloat16"
