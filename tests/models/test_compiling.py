"""Calls of models: TensorFlow's warnings about the tracings of other models are not ours."""

import logging

import keras
import numpy as np
import pytest

from mdnn.models.compiling import predicted

if keras.backend.backend() != "tensorflow":
    pytest.skip("the warnings are TensorFlow's", allow_module_level=True)


@pytest.fixture
def records():
    """What the logger of TensorFlow passes on."""
    found = []

    class Keeper(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    logger, keeper = logging.getLogger("tensorflow"), Keeper()
    logger.addHandler(keeper)
    yield found
    logger.removeHandler(keeper)


class Noisy:
    """Warns as TensorFlow does of the fifth model in a row; it does so twice in a process only."""

    def predict_on_batch(self, inputs):
        logging.getLogger("tensorflow").warning("5 out of the last 5 calls triggered retracing")
        logging.getLogger("tensorflow").error("a fault")
        return 2 * inputs


def test_warnings_are_dropped_and_faults_are_not(records):
    Noisy().predict_on_batch(1)
    assert len(records) == 2
    records.clear()
    assert predicted(Noisy(), 21) == 42
    assert records == ["a fault"]


def test_many_models_in_a_row(records):
    for _ in range(6):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        assert predicted(model, np.ones((3, 2), "float32")).shape == (3, 1)
    assert records == []
