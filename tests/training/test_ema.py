"""Moving averages of weights: what they are, where they are used, that training goes on without."""

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.config.training_tables import Optimizer
from mdnn.runs.safetensors_io import read_arrays
from mdnn.training import checkpoint
from mdnn.training.ema import swapped_in, take_averages
from mdnn.training.optimizers import make_optimizer

EMA = 0.8


def stepped(name, ema, steps=3):
    """An optimizer, its one matrix after each step, and the matrix."""
    matrix = keras.Variable(np.ones((3, 2), "float32"), name="matrix")
    optimizer = make_optimizer(
        Optimizer(name=name, learning_rate=0.1, warmup_steps=0), [matrix], ema
    )
    seen = []
    for step in range(steps):
        optimizer.apply([keras.ops.full((3, 2), step + 1.0)], [matrix])
        seen.append(keras.ops.convert_to_numpy(matrix))
    return optimizer, seen, matrix


@pytest.mark.parametrize("name", ["adamw", "muon", "lion", "sgd"])
def test_an_average_of_the_weights_after_each_step(name):
    optimizer, seen, matrix = stepped(name, EMA)
    expected = seen[0]
    for value in seen[1:]:
        expected = EMA * expected + (1 - EMA) * value
    assert abs(expected - seen[-1]).max() > 1e-3
    with swapped_in(optimizer, [matrix]):
        np.testing.assert_allclose(matrix, expected, rtol=1e-5)
    np.testing.assert_array_equal(matrix, seen[-1])
    take_averages(optimizer, [matrix])
    np.testing.assert_allclose(matrix, expected, rtol=1e-5)


def test_weights_stay_where_there_is_no_average():
    optimizer, seen, matrix = stepped("adamw", 0.0)
    with swapped_in(optimizer, [matrix]):
        np.testing.assert_array_equal(matrix, seen[-1])
    # Before the first step an average is zeros.
    optimizer, _, matrix = stepped("adamw", EMA, steps=0)
    take_averages(optimizer, [matrix])
    np.testing.assert_array_equal(matrix, 1)


def test_a_run_saves_the_average_and_its_checkpoint_both(tmp_path):
    config = tiny.load_config(
        tmp_path, *tiny.QUICK, f"train.ema_decay={EMA}", "train.num_evaluations=2"
    )
    mdnn.train(config, tmp_path / "run", show=False)
    saved, _ = read_arrays(tmp_path / "run" / "model.safetensors")
    state, _ = read_arrays(checkpoint.newest(tmp_path / "run"))
    plain = tiny.load_config(tmp_path, *tiny.QUICK, "train.num_evaluations=2")
    mdnn.train(plain, tmp_path / "plain", show=False)
    weights, _ = read_arrays(tmp_path / "plain" / "model.safetensors")
    for name, array in weights.items():
        # Checks on the way, which use the averages, leave what is trained alone.
        np.testing.assert_array_equal(state[f"model/{name}"], array)
    changed = [name for name, array in weights.items() if not np.array_equal(saved[name], array)]
    assert len(changed) == len(weights)
