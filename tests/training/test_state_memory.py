"""State is saved, restored and exchanged variable by variable: no second copy of it is made."""

import tracemalloc

import keras
import numpy as np
import pytest

from mdnn.config.training_tables import Optimizer
from mdnn.runs.run_files import read_weights
from mdnn.runs.safetensors_io import read_arrays, write_arrays
from mdnn.training import checkpoint
from mdnn.training.ema import swapped_in
from mdnn.training.optimizers import make_optimizer

COUNT, SIZE = 12, 1 << 18
"""Number of variables, and of float32 numbers in each."""

AT_ONCE = COUNT // 2
"""Largest number of values held at once: it is three, and TensorFlow lets go of some late."""


class Interrupted(BaseException):
    """What a second signal raises."""


counted = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="variables are arrays of numpy themselves there"
)


@pytest.fixture
def variables():
    """Variables of 1 MB each, with numbers of their own."""
    return [
        keras.Variable(np.full(SIZE, number, "float32"), name=f"v{number}")
        for number in range(COUNT)
    ]


@pytest.fixture
def optimizer(variables):
    """One whose averages are 100 more than the variables, after a step."""
    made = make_optimizer(Optimizer(name="sgd", warmup_steps=0), variables, 0.9)
    made.iterations.assign(1)
    for variable, average in zip(variables, made._model_variables_moving_average, strict=True):
        average.assign(np.full(SIZE, float(variable[0]) + 100, "float32"))
    return made


def copies(function):
    """Largest number of variables whose values numpy held at once while a function ran."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        function()
        return (tracemalloc.get_traced_memory()[1] - before) / (4 * SIZE)
    finally:
        tracemalloc.stop()


def sections(variables):
    return {"model": {variable.path: variable for variable in variables}}


def values(variables):
    return [float(keras.ops.convert_to_numpy(variable)[-1]) for variable in variables]


@counted
def test_a_checkpoint_is_written_and_read_variable_by_variable(variables, tmp_path):
    assert (
        copies(
            lambda: checkpoint.write_checkpoint(
                tmp_path, sections(variables), checkpoint.Progress()
            )
        )
        < AT_ONCE
    )
    expected = values(variables)
    for variable in variables:
        variable.assign(np.zeros(SIZE, "float32"))
    assert copies(lambda: checkpoint.restore(tmp_path, sections(variables))) < AT_ONCE
    assert values(variables) == expected
    # What the counting is worth: arrays that are all held are counted.
    assert copies(lambda: read_arrays(checkpoint.newest(tmp_path))) > COUNT - 1


@counted
def test_weights_are_written_and_read_variable_by_variable(variables, tmp_path):
    path, table = tmp_path / "model.safetensors", {v.path: v for v in variables}
    assert copies(lambda: write_arrays(path, table)) < AT_ONCE
    expected = values(variables)
    for variable in variables:
        variable.assign(np.zeros(SIZE, "float32"))
    assert copies(lambda: read_weights(variables, path)) < AT_ONCE
    assert values(variables) == expected


@counted
def test_averages_are_exchanged_variable_by_variable(variables, optimizer):
    own, seen = values(variables), []

    def exchange():
        with swapped_in(optimizer, variables):
            seen[:] = values(variables), values(optimizer._model_variables_moving_average)

    assert copies(exchange) < COUNT - 2
    assert seen == [[value + 100 for value in own], own]
    assert values(variables) == own
    assert values(optimizer._model_variables_moving_average) == [value + 100 for value in own]


@pytest.mark.parametrize("moment", [0, 1, 7, 8, 2 * COUNT - 1])
def test_an_exchange_that_is_interrupted_is_undone(variables, optimizer, moment, monkeypatch):
    own, assign, calls = values(variables), type(variables[0]).assign, []

    def interrupted(self, value):
        calls.append(self)
        if len(calls) == moment + 1:
            raise Interrupted
        return assign(self, value)

    monkeypatch.setattr(type(variables[0]), "assign", interrupted)
    with pytest.raises(Interrupted), swapped_in(optimizer, variables):
        pytest.fail("it is not entered")
    assert values(variables) == own
    assert values(optimizer._model_variables_moving_average) == [value + 100 for value in own]


def test_the_package_reads_what_is_written(tmp_path):
    from safetensors.numpy import load_file

    arrays = {
        "small": np.arange(3, dtype="int8"),
        "flag": np.array(True),
        "number": np.array(7, "int64"),
        "none": np.zeros((0, 4), "float32"),
        "half": np.arange(5, dtype="float16"),
        'name with "quotes" and Ω': np.arange(6, dtype="float32").reshape(2, 3),
    }
    path = tmp_path / "a.safetensors"
    write_arrays(path, arrays, {"said": "été"})
    for found in (load_file(path), read_arrays(path)[0]):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
    assert read_arrays(path)[1] == {"said": "été"}
