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


def models(count=8):
    """New models, each traced at its first call."""
    for _ in range(count):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        yield model, np.ones((3, 2), "float32")


def test_many_models_in_a_row(records):
    for model, x in models():
        model.predict_on_batch(x)
    assert any("retracing" in text for text in records)
    records.clear()
    for model, x in models():
        assert predicted(model, x).shape == (3, 1)
    assert records == []
