"""A step whose loss or gradients are not finite changes nothing, on either backend."""

import keras
import numpy as np
import pytest
import tiny
from backends import to_numpy

import mdnn
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.models.loss import TokenCrossEntropy
from mdnn.tokens.characters import TextTokenizer
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step import make_step
from mdnn.training.steps.step_base import largest_gradient


def made(folder, *settings, precision="float32"):
    """A network, its optimizer, a step and batches whose positions have a weight each."""
    config = tiny.load_config(folder, *settings)
    model = mdnn.build(config)
    spec, variables = config.train.optimizer, model.trainable_variables
    optimizer = make_optimizer(spec, variables, precision=precision)
    tokenizer = TextTokenizer()
    batches = TextBatches(
        tokenizer.ids("Some steps fail. " * 9), tokenizer, config.context.positions, 3, seed=0
    )
    step = make_step(model, TokenCrossEntropy(), optimizer, precision=precision)

    def batch(number, weight=1.0):
        found = batches.at(number)
        return found | {"weights": np.full(found["tokens"].shape[:2], weight, "float32")}

    return model, optimizer, step, batch


def state(step, *owners):
    step.sync()
    return [to_numpy(v).copy() for owner in owners for v in owner.variables]


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e38])
def test_nothing_is_learnt_from_what_is_not_finite(tmp_path, weight):
    model, optimizer, step, batch = made(tmp_path)
    step(batch(0), 0.01)
    assert int(step.fault[0]) == -1
    before = state(step, model, optimizer)
    step(batch(1, weight), 0.01)
    number, peak = (float(part) for part in step.fault)
    assert 0 <= number < len(model.trainable_variables)
    # The loss alone may be what is not finite.
    assert peak == np.inf or weight != np.inf
    after = state(step, model, optimizer)
    changed = [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if (a != b).any()]
    names = [v.path for owner in (model, optimizer) for v in owner.variables]
    # The rate is set before.
    assert {names[k] for k in changed} <= {optimizer.learning_rate.path}
    loss = float(step(batch(2), 0.01))
    assert np.isfinite(loss)
    assert int(step.fault[0]) == -1
    later = state(step, model)
    assert all(np.isfinite(array).all() for array in later)
    assert any((a != b).any() for a, b in zip(before, later, strict=False))


@pytest.mark.parametrize(
    ("values", "scale", "expected"),
    [
        (([1.0, 2.0], [-7.0], [[3.0]]), None, (1, 7.0)),
        (([1.0, 2.0], [-7.0], [[3.0]]), 2.0, (1, 3.5)),
        (([9.0], [1.0, np.nan]), None, (1, np.inf)),
        (([9.0], [1.0], [np.inf]), 4.0, (2, np.inf)),
    ],
)
def test_the_largest_gradient(values, scale, expected):
    gradients = [keras.ops.convert_to_tensor(value, "float32") for value in values]
    scale = None if scale is None else keras.ops.convert_to_tensor(scale, "float32")
    number, peak = largest_gradient(gradients, scale)
    assert (int(number), float(peak)) == expected


def test_a_loss_scale_that_is_too_large_is_lowered(tmp_path):
    model, optimizer, step, batch = made(tmp_path, precision="float16")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    step(batch(0), 0.01)
    step.sync()
    assert float(to_numpy(optimizer.dynamic_scale)) == 2.0**15
    optimizer.dynamic_scale.assign(2.0**100)
    before = state(step, model)
    step(batch(1), 0.01)
    assert int(step.fault[0]) == -1
    step.sync()
    assert float(to_numpy(optimizer.dynamic_scale)) == 2.0**99
    weights = len(model.weights)
    for a, b in zip(before[:weights], state(step, model)[:weights], strict=True):
        np.testing.assert_array_equal(a, b)
    optimizer.dynamic_scale.assign(2.0**10)
    first = float(step(batch(2), 0.01))
    for number in range(3, 12):
        last = float(step(batch(number), 0.01))
    assert last < first
    # What is not finite with no scale at all is no matter of the scale.
    step.sync()
    optimizer.dynamic_scale.assign(1.0)
    step(batch(1, np.nan), 0.01)
    assert int(step.fault[0]) >= 0
