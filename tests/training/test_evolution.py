"""Training without backpropagation: what it estimates, and that it learns."""

import keras
import numpy as np
import pytest
import tiny
from keras import ops
from test_trainer import stop

import mdnn
from mdnn.training.steps.evolution import EvolutionStrategy, fan_size, grid_unit

BLIND = ('train.method="blind"', "train.blind.pairs=16", "train.optimizer.weight_decay=0")


class Quadratic:
    """A loss of a matrix and a vector with a known gradient: `sum(target * weight)` and squares."""

    def __init__(self, shapes, seed=0):
        draw = np.random.default_rng(seed)
        self.slopes = [draw.standard_normal(shape).astype("float32") for shape in shapes]

    def stateless_call(self, weights, fixed, batch, training):
        assert training is False
        losses = [ops.sum(s * w + 0.5 * w * w) for s, w in zip(self.slopes, weights, strict=True)]
        return sum(losses), fixed


def estimate(strategy, loss, weights, step=3):
    """The loss and the gradients, compiled, as arrays."""
    function = lambda *values: strategy(loss, list(values), [], {}, 3)  # noqa: E731
    if keras.backend.backend() == "jax":
        import jax

        value, gradients = jax.jit(function)(*weights)
    else:
        import tensorflow as tf

        value, gradients = tf.function(function)(*map(tf.constant, weights))
    return float(value), [np.asarray(g) for g in gradients]


@pytest.mark.parametrize(("shape", "rank"), [((6, 5), 1), ((6, 5), 4), ((12,), 1)])
def test_the_estimate_points_along_the_gradient(shape, rank):
    """With P pairs and n weights the cosine is about sqrt(P / (P + n)), 0.98 here."""
    loss = Quadratic([shape])
    weights = [np.full(shape, 0.3, "float32")]
    value, (found,) = estimate(EvolutionStrategy(1000, 0.01, rank, "float32", 5), loss, weights)
    right = loss.slopes[0] + weights[0]
    exact = float(np.sum(loss.slopes[0] * weights[0] + 0.5 * weights[0] ** 2))
    assert value == pytest.approx(exact, abs=0.02)
    assert np.sum(found * right) / np.linalg.norm(found) / np.linalg.norm(right) > 0.95
    assert np.linalg.norm(found) / np.linalg.norm(right) == pytest.approx(1, abs=0.2)


def test_noise_is_a_function_of_seed_step_and_weight():
    values = [ops.zeros((6, 5)), ops.zeros((6, 5)), ops.zeros((7,))]
    draw = lambda seed, number: [  # noqa: E731
        np.asarray(n) for n in EvolutionStrategy(4, 0.1, 2, "float32", seed).noise(values, number)
    ]
    one = draw(1, 3)
    assert all(np.array_equal(a, b) for a, b in zip(one, draw(1, 3), strict=True))
    assert not np.allclose(one[0], one[1])
    for other in (draw(2, 3), draw(1, 4)):
        assert not any(np.allclose(a, b) for a, b in zip(one, other, strict=True))
    many = np.stack([draw(1, number)[0] for number in range(200)])
    assert np.linalg.matrix_rank(many[0]) == 2
    assert many.var() == pytest.approx(1, abs=0.1)
    assert many.mean() == pytest.approx(0, abs=0.1)


def test_int8_weights_are_rounded_at_random_to_the_grid():
    strategy = EvolutionStrategy(4, 0.1, 1, "int8", 1)
    unit = grid_unit((64, 50))
    assert unit == pytest.approx(4 / 8 / 127)
    value = ops.full((64, 50), 3.25 * unit)
    settled = np.asarray(strategy.settle(0, value, 7)) / unit
    assert set(np.round(settled, 3).ravel()) == {3.0, 4.0}
    assert settled.mean() == pytest.approx(3.25, abs=0.03)
    assert np.abs(np.asarray(strategy.settle(0, value * 1e6, 7)) / unit).max() == pytest.approx(127)
    vector = ops.full((64,), 0.123)
    assert np.array_equal(np.asarray(strategy.settle(0, vector, 7)), np.asarray(vector))


class OffGrid(Quadratic):
    """A loss that is the distance of a matrix from the int8 grid, in grid units."""

    def stateless_call(self, weights, fixed, batch, training):
        codes = weights[0] / grid_unit(weights[0].shape)
        return ops.max(ops.abs(codes - ops.round(codes))), fixed


@pytest.mark.parametrize(("weights", "on_grid"), [("int8", True), ("float32", False)])
def test_noise_of_int8_weights_stays_on_the_grid(weights, on_grid):
    strategy = EvolutionStrategy(8, 0.1, 1, weights, 1)
    start = keras.Variable(np.full((6, 5), 0.1234, "float32"))
    strategy.start([start])
    value, _ = estimate(strategy, OffGrid([(6, 5)]), [np.asarray(start.value)])
    assert (value < 1e-3) == on_grid
    assert (np.asarray(start.value) != np.float32(0.1234)).all() == on_grid


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_text_is_learnt_without_gradients(tmp_path, weights):
    settings = [*BLIND, f'train.blind.weights="{weights}"', "train.steps=60", "train.sample=0"]
    config = tiny.load_config(tmp_path, *settings, "train.optimizer.learning_rate=2e-2")
    before = mdnn.evaluate(mdnn.build(config), tiny.TEXT[:900])["loss"]
    result = mdnn.train(config, tmp_path / "run", show=False)
    assert result["loss"] < before - 0.3, before
    if weights == "int8":
        assert_on_grid(mdnn.load(tmp_path / "run"))


def assert_on_grid(network):
    for variable in network.trainable_variables:
        if len(variable.shape) > 1:
            codes = np.asarray(variable.value) / grid_unit(variable.shape)
            assert np.abs(codes - np.round(codes)).max() < 1e-3
            assert np.abs(codes).max() < 127.01


def test_int8_weights_of_another_run_are_rounded(tmp_path, tiny_run, monkeypatch):
    """Before the first step: its updates are rounded at random, the weights to the nearest."""
    config = tiny.load_config(tmp_path, *BLIND, 'train.blind.weights="int8"')
    stop(monkeypatch, at=0)
    mdnn.train(config, tmp_path / "run", show=False, init_from=tiny_run)
    network = mdnn.load(tmp_path / "run")
    assert_on_grid(network)
    for variable, other in zip(network.weights, mdnn.load(tiny_run).weights, strict=True):
        if len(variable.shape) > 1:
            unit = grid_unit(variable.shape)
            nearest = np.clip(np.asarray(other), -127 * unit, 127 * unit)
            assert np.abs(np.asarray(variable) - nearest).max() <= 0.501 * unit


@pytest.mark.long
def test_a_blind_training_goes_on_to_the_same_bits(tmp_path):
    # At a constant rate half of the budget is half of the training.
    settings = [*BLIND, "train.blind.pairs=2", *tiny.QUICK, "train.optimizer.min_lr_ratio=1"]
    config = tiny.load_config(tmp_path, *settings)
    mdnn.train(config, tmp_path / "whole", show=False)
    half = tiny.load_config(tmp_path, *settings, "train.steps=10")
    mdnn.train(half, tmp_path / "half", show=False)
    mdnn.train(config, tmp_path / "half", resume=True, show=False)
    whole, parted = (mdnn.load(tmp_path / name).weights for name in ("whole", "half"))
    assert all(np.array_equal(a, b) for a, b in zip(whole, parted, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['train.precision="float16"'], "train.precision: expected 'float32'.*received 'float16'"),
        (
            ['train.blind.weights="int8"', "train.ema_decay=0.9"],
            "train.ema_decay: .*expected 0 with train.blind.weights = 'int8', received 0.9",
        ),
        (
            ['train.blind.weights="int8"', "train.stage=[{at=0.5, backbone.depth=2}]"],
            "train.stage: a larger matrix has another grid of int8 values",
        ),
        (["train.blind.pairs=0"], "train.blind.pairs: expected"),
        (['train.blind.weights="int4"'], "train.blind.weights: expected"),
    ],
)
def test_what_blind_training_does_not_have_is_refused(tmp_path, settings, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        tiny.load_config(tmp_path, *BLIND, *settings)


def test_sizes_of_noise():
    assert fan_size((3, 64, 5)) == 1 / 8
    assert fan_size((7,)) == 0.1
