"""Every layer through the test that Keras runs on its own layers."""

import functools
import inspect

import keras
import numpy as np
import pytest
from keras.src.testing import TestCase
from keras.src.utils import traceback_utils
from layer_checks import Case
from test_layer_checks import CASES as LAYERS

from mdnn.models.blocks.feed_forward import FeedForwardBlock
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.mixing_block import MixingBlock
from mdnn.models.thinking.halting import HaltHead


def fold(dtype=None):
    """Branches belong to one layer: new ones each time."""
    branches = [
        MixingBlock([{"sharing": "shared"}], name="mix", dtype=dtype),
        FeedForwardBlock(3, dtype=dtype),
    ]
    return RowBottleneck(5, branches, causal=False, bias=True, dtype=dtype)


CASES = LAYERS | {
    "fold": Case(fold, (2, 2, 3, 4)),
    "halt": Case(HaltHead, (3, 4), unused=("kernel", "bias")),
}


@pytest.fixture(autouse=True)
def whole_tracebacks():
    """As Keras' own tests have them, without their clearing of the session."""
    before = traceback_utils.is_traceback_filtering_enabled()
    traceback_utils.disable_traceback_filtering()
    yield
    if before:
        traceback_utils.enable_traceback_filtering()


def arguments(make):
    """What a case makes, a class or a function, and the arguments by their names."""
    if not isinstance(make, functools.partial):
        return make, {}
    bound = inspect.signature(make.func).bind(*make.args, **make.keywords).arguments
    more = bound.pop("kwargs", {})
    return make.func, {**bound, **more}


def run_layer_test(case, training):
    layer, init = arguments(case.make)
    arrays = case.arrays(2)
    made = case.make()
    output = case.tensors(made, arrays)
    learnt = {weight.name for weight in made.trainable_weights} - set(case.unused)
    trains = bool(learnt) and not isinstance(output, (list, tuple))
    TestCase("run_layer_test").run_layer_test(
        layer,
        init_kwargs=init,
        input_data=keras.ops.convert_to_tensor(arrays[0]),
        # What a layer takes beside its input is fixed, as Keras' test has it.
        call_kwargs={
            **case.call,
            **{name: np.asarray(a) for name, a in zip(case.more, arrays[1:], strict=True)},
        },
        expected_output_shape=keras.tree.map_structure(lambda y: tuple(y.shape), output),
        supports_masking=made.supports_masking,
        run_training_check=training and trains,
    )


def one_of_each():
    """Every case; further ones of a layer, which test_layer_checks.py has, take long here."""
    for name in CASES:
        yield pytest.param(name, marks=[pytest.mark.long] if "," in name else [])


@pytest.mark.parametrize("name", list(one_of_each()))
def test_keras_checks(name):
    run_layer_test(CASES[name], training=False)


# Compiled by XLA, which takes minutes in all.
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
@pytest.mark.parametrize("name", CASES)
def test_keras_checks_with_a_step_of_training(name):
    run_layer_test(CASES[name], training=True)
