"""AxisDense: Keras's Dense on any axis."""

import json

import keras
import numpy as np
import pytest
from layer_gradients import output_and_gradients

from mdnn.layers.axis_dense import AxisDense


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2])
def test_equals_dense_on_the_moved_axis(axis, activation, use_bias):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    layer = AxisDense(axis, units=6, use_bias=use_bias, activation=activation)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    dense = keras.layers.Dense(6, use_bias=use_bias, activation=activation)
    moved = np.moveaxis(x, axis, -1)
    dense.build(moved.shape)
    dense.set_weights(layer.get_weights())
    w = rng.normal(size=(2, *layer.compute_output_shape(x.shape)[1:])).astype("float32")
    y, dx, dweights = output_and_gradients(layer, x, w)
    y_dense, dx_dense, dweights_dense = output_and_gradients(dense, moved, np.moveaxis(w, axis, -1))
    np.testing.assert_allclose(y, np.moveaxis(y_dense, -1, axis), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dx, np.moveaxis(dx_dense, -1, axis), rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(dweights, dweights_dense, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_weights_shapes_and_operations():
    layer = AxisDense(axis=2, units=7, use_bias=True)
    layer.build((None, 3, 4, 5))
    assert {w.name: tuple(w.shape) for w in layer.weights} == {
        "kernel_axis_2": (4, 7),
        "bias": (7,),
    }
    assert layer.compute_output_shape((None, 3, 4, 5)) == (None, 3, 7, 5)
    assert layer.operations((None, 3, 4, 5)) == 3 * 4 * 7 * 5


def test_config_survives_json():
    layer = AxisDense(axis=-2, units=3, use_bias=True, activation="relu", kernel_regularizer="l2")
    config = json.loads(json.dumps(layer.get_config()))
    assert set(config) == {
        *("name", "trainable", "dtype", "axis", "units", "use_bias", "activation"),
        *(f"{w}_{x}" for w in ("kernel", "bias") for x in ("initializer", "regularizer")),
        *("kernel_constraint", "bias_constraint"),
    }
    assert (config["axis"], config["units"]) == (-2, 3)
    assert AxisDense.from_config(config).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": None, "units": 3}, "Expected `axis` to be an integer"),
        ({"axis": (1, 2), "units": 3}, "Expected `axis` to be an integer"),
        ({"axis": 1, "units": None}, "Expected `units` to be an integer"),
        ({"axis": 1, "units": 0}, "Expected `units` to hold positive integers"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AxisDense(**arguments)


def test_axis_out_of_range():
    with pytest.raises(ValueError, match="Expected `axes` in"):
        AxisDense(3, 2).build((None, 2, 2))
