"""AdamW and Muon in fewer operations: the steps are those of Keras' own."""

import keras
import numpy as np
import pytest

from mdnn.training import fused_optimizers

# Tall and wide matrices of one shape, a square one alone, and what Muon leaves to Adam.
SHAPES = ((16, 6), (6, 16), (6, 16), (5, 5), (7,), (2, 3, 4), ())


def learnt(maker, steps=5):
    """The variables after some steps of an optimizer, a list of arrays."""
    rng = np.random.default_rng(3)
    starts = [rng.standard_normal(shape).astype("float32") for shape in SHAPES]
    own = [keras.Variable(start, name=f"v{k}") for k, start in enumerate(starts)]
    optimizer = maker(learning_rate=0.01, weight_decay=0.1, global_clipnorm=1.0)
    optimizer.build(own)
    for _ in range(steps):
        gradients = [rng.standard_normal(shape).astype("float32") for shape in SHAPES]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], own)
    return [keras.ops.convert_to_numpy(variable) for variable in own]


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_steps_are_those_of_keras(name):
    own = learnt(getattr(fused_optimizers, name))
    right = learnt(getattr(keras.optimizers, name))
    for found, expected in zip(own, right, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_muon_without_a_scale_and_without_nesterov():
    def make(cls):
        return lambda **how: cls(**how, rms_rate=None, nesterov=False)

    own, right = learnt(make(fused_optimizers.Muon)), learnt(make(keras.optimizers.Muon))
    for found, expected in zip(own, right, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_muon_with_products_in_bfloat16():
    def make(**how):
        return fused_optimizers.Muon(products="bfloat16", **how)

    own, right = learnt(make), learnt(keras.optimizers.Muon)
    for found, expected in zip(own, right, strict=True):
        # Five steps move a value by about 0.02.
        np.testing.assert_allclose(found, expected, rtol=0.01, atol=2e-3)
        assert found.dtype == "float32"
    assert not np.array_equal(own[0], right[0])
