"""The learning rate over a run, and the Keras optimizers behind a config's words."""

import keras
import numpy as np
import pytest

from mdnn.config.training_tables import Optimizer
from mdnn.training.learning_rate import rate_at
from mdnn.training.optimizers import make_optimizer

NAMES = ("adamw", "adam", "lion", "muon", "sgd")


def test_the_rate_climbs_then_falls_on_a_cosine():
    spec = Optimizer(learning_rate=0.5, warmup_steps=4, min_lr_ratio=0.2)
    climb = [rate_at(spec, step, 0.0) for step in range(6)]
    np.testing.assert_allclose(climb, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
    fall = [rate_at(spec, 1000, part) for part in (0.0, 1 / 3, 0.5, 1.0, 1.5)]
    np.testing.assert_allclose(fall, [0.5, 0.4, 0.3, 0.1, 0.1])
    # Both at once: half way up, half way down.
    np.testing.assert_allclose(rate_at(spec, 1, 0.5), 0.15)


def test_the_rate_without_a_climb_and_without_a_fall():
    spec = Optimizer(learning_rate=0.5, warmup_steps=0, min_lr_ratio=1.0)
    assert [rate_at(spec, 0, part) for part in (0.0, 0.4, 1.0)] == [0.5, 0.5, 0.5]


def variables():
    shapes = ((3, 3), (3,), ())
    return [keras.Variable(np.ones(shape, "float32"), name=f"v{len(shape)}") for shape in shapes]


def apply(optimizer, gradients, of):
    tensors = [keras.ops.convert_to_tensor(g) for g in gradients]
    optimizer.apply(tensors, of)
    return [keras.ops.convert_to_numpy(v) for v in of]


@pytest.mark.parametrize("name", NAMES)
def test_decay_falls_on_matrices_only(name):
    own = variables()
    optimizer = make_optimizer(Optimizer(name=name, learning_rate=0.1, weight_decay=0.5), own)
    matrix, vector, number = apply(optimizer, [np.zeros(v.shape, "float32") for v in own], own)
    np.testing.assert_allclose(matrix, 1 - 0.1 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(vector, 1)
    np.testing.assert_array_equal(number, 1)


@pytest.mark.parametrize("name", NAMES)
def test_no_decay(name):
    own = variables()
    optimizer = make_optimizer(Optimizer(name=name, learning_rate=0.1, weight_decay=0.0), own)
    for value in apply(optimizer, [np.zeros(v.shape, "float32") for v in own], own):
        np.testing.assert_array_equal(value, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_downhill(name):
    own = variables()
    optimizer = make_optimizer(Optimizer(name=name, learning_rate=0.01, weight_decay=0.0), own)
    for _ in range(5):
        # The gradient of half the sum of squares.
        values = apply(optimizer, [keras.ops.convert_to_numpy(v) for v in own], own)
    for value in values:
        assert (value < 1).all()
        assert (value > 0.5).all()


def test_the_clip_is_the_norm_of_all_gradients_together():
    own = variables()
    optimizer = make_optimizer(
        Optimizer(name="sgd", learning_rate=1.0, beta_1=0.0, weight_decay=0.0, clip_norm=0.1), own
    )
    values = apply(optimizer, [np.full(v.shape, 7.0, "float32") for v in own], own)
    moved = np.concatenate([np.ravel(1 - value) for value in values])
    np.testing.assert_allclose(np.linalg.norm(moved), 0.1, rtol=1e-5)
    np.testing.assert_allclose(moved, moved[0], rtol=1e-5)


def test_the_config_s_numbers_reach_the_optimizer():
    spec = Optimizer(
        name="adamw", learning_rate=0.25, beta_1=0.8, beta_2=0.7, weight_decay=0.3, clip_norm=2.0
    )
    config = make_optimizer(spec, variables()).get_config()
    found = [config[k] for k in ("learning_rate", "beta_1", "beta_2", "weight_decay")]
    np.testing.assert_allclose(found, [0.25, 0.8, 0.7, 0.3], rtol=1e-6)
    assert config["global_clipnorm"] == 2.0


def test_muon_leaves_the_heads_to_adam():
    gradient = np.diag([1.0, 10.0, 100.0]).astype("float32") + 1
    changes = {}
    for name in ("kernel", "heads"):
        own = [keras.Variable(np.zeros((3, 3), "float32"), name=name)]
        optimizer = make_optimizer(
            Optimizer(name="muon", learning_rate=0.01, weight_decay=0.0, clip_norm=0.0), own
        )
        changes[name] = apply(optimizer, [gradient], own)[0]
    # Adam's first step is as large everywhere; Muon's is near a rotation.
    np.testing.assert_allclose(changes["heads"], -0.01, rtol=1e-3)
    assert np.ptp(changes["kernel"]) > 0.002
