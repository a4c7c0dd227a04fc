"""RMSNorm: Keras' RMSNormalization, value and gradients."""

from functools import partial

import keras
import numpy as np
import pytest
from layer_checks import CHECKS, Case
from layer_gradients import output_and_gradients

from mdnn.layers.rms_norm import RMSNorm


@pytest.mark.parametrize("shape", [(3, 6), (2, 3, 4, 5)])
def test_value_and_gradients_are_those_of_keras(shape):
    rng = np.random.default_rng(1)
    x, w = (rng.normal(size=shape).astype("float32") for _ in range(2))
    scale, found = rng.normal(size=shape[-1:]), []
    for cls in (RMSNorm, keras.layers.RMSNormalization):
        layer = cls(epsilon=1e-2)
        layer.build(shape)
        layer.set_weights([scale])
        found.append(output_and_gradients(layer, x, w))
    for own, right in zip(*found, strict=True):
        np.testing.assert_allclose(np.squeeze(own), np.squeeze(right), rtol=1e-4, atol=1e-5)


def test_squares_of_half_precision_are_summed_in_float32():
    layer = RMSNorm(dtype="mixed_float16")
    # 300 ** 2 is not a number of float16.
    y = layer(np.full((1, 8), 300.0))
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), 1, rtol=1e-3)


@pytest.mark.parametrize("check", CHECKS)
def test_as_any_layer(check, tmp_path):
    check(Case(partial(RMSNorm, epsilon=1e-5), (3, 4)), tmp_path)
