"""Activations against numpy, and their way through configs and files."""

import json

import keras
import numpy as np
import pytest
from backends import gradient, to_numpy

from mdnn import activations
from mdnn.activations import Partial

GRID = np.array([-90.0, -3.0, -1.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 1.0, 90.0], "float32")

NUMPY = {
    "absolute": np.abs,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "melu": lambda x: x * np.exp(np.minimum(x, 0)),
    "sort2": lambda x: np.sort(x.reshape(*x.shape[:-1], -1, 2), axis=-1).reshape(x.shape),
}


@pytest.mark.parametrize("name", NUMPY)
def test_values(name):
    values = to_numpy(getattr(activations, name)(GRID))
    np.testing.assert_allclose(values, NUMPY[name](GRID), rtol=1e-6, atol=1e-7)
    assert activations.get(name) is getattr(activations, name)


def test_melu_slope_is_continuous_and_bounded():
    slopes = gradient(lambda x: keras.ops.sum(activations.melu(x)), GRID)
    expected = np.where(GRID < 0, np.exp(np.minimum(GRID, 0)) * (1 + GRID), 1)
    np.testing.assert_allclose(slopes, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", [*NUMPY, "partial(melu, 0.5)"])
def test_dtype_is_kept(name, dtype):
    x = keras.ops.cast(GRID, dtype)
    y = activations.get(name)(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    assert np.isfinite(to_numpy(y)).all()


def test_sort2_sorts_pairs_and_only_pairs():
    x = np.array([[[3.0, 1.0, 0.0, 2.0], [1.0, 2.0, 5.0, 4.0]]], "float32")
    expected = [[[1, 3, 0, 2], [1, 2, 4, 5]]]
    np.testing.assert_array_equal(to_numpy(activations.sort2(x)), expected)
    # A permutation: the gradient of a weighted sum is the weights, permuted back.
    weights = np.arange(4, dtype="float32")
    slopes = gradient(lambda x: keras.ops.sum(activations.sort2(x) * weights), x)
    np.testing.assert_array_equal(slopes, [[[1, 0, 2, 3], [0, 1, 3, 2]]])


@pytest.mark.parametrize("shape", [(None, None, 6), (None, 5, 6), (6,)])
def test_sort2_symbolic(shape):
    x = keras.KerasTensor(shape)
    assert activations.sort2(x).shape == shape


def test_sort2_odd():
    with pytest.raises(ValueError, match=r"even last axis for `sort2`.*\(2, 3\)"):
        activations.sort2(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="known size"):
        activations.sort2(keras.KerasTensor((2, None)))


@pytest.mark.parametrize(
    ("activation", "fraction", "size", "count"),
    [
        ("melu", 0.75, 8, 6),
        ("melu", 0.75, 10, 8),  # 7.5: halves up
        ("melu", 0.75, 1, 1),
        ("melu", 0.0, 8, 0),
        ("melu", 1.0, 7, 7),
        ("sort2", 0.75, 8, 6),
        ("sort2", 0.75, 12, 10),  # 4.5 pairs: halves up
        ("sort2", 1.0, 7, 6),
        ("sort2", 0.5, 5, 2),
    ],
)
def test_partial_activates_the_first_part(activation, fraction, size, count):
    partial = Partial(activation, fraction)
    assert partial.activated(size) == count
    x = -np.sort(np.random.default_rng(0).uniform(0.5, 2, size=(3, size)).astype("float32"))
    # Every row falls, all are negative: both activations change every value they touch.
    y = to_numpy(partial(x))
    np.testing.assert_allclose(y[:, :count], NUMPY[activation](x[:, :count]), rtol=1e-6)
    np.testing.assert_array_equal(y[:, count:], x[:, count:])
    assert (y[:, :count] != x[:, :count]).all()


def test_partial_is_a_value():
    assert Partial("melu") == Partial(activations.melu, 0.75)
    assert hash(Partial("melu")) == hash(Partial(activations.melu, 0.75))
    assert Partial("melu") != Partial("melu", 0.5)
    assert Partial("melu") != Partial("elu")
    assert Partial("melu") != "melu"
    assert repr(Partial("melu", 0.5)) == "partial(melu, 0.5)"


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_partial_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match=r"`fraction` in 0 \.\. 1"):
        Partial("melu", fraction)


@pytest.mark.parametrize("fraction", ["half", True, None])
def test_partial_fraction_no_number(fraction):
    with pytest.raises(ValueError, match="`fraction` to be a number"):
        Partial("melu", fraction)


def test_partial_needs_a_size():
    with pytest.raises(ValueError, match="known size for `Partial`"):
        Partial("melu")(keras.KerasTensor((2, None)))


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("abs", activations.absolute),
        ("mdnn>melu", activations.melu),
        ("mdnn>relu", keras.activations.relu),
        (" melu ", activations.melu),
        ("silu", keras.activations.silu),
        ("gelu", keras.activations.gelu),
        (None, keras.activations.linear),
        (activations.melu, activations.melu),
        ("partial(melu, 0.75)", Partial("melu", 0.75)),
        ("partial(sort2)", Partial("sort2", 0.75)),
        ("partial( gelu,.5 )", Partial("gelu", 0.5)),
        ("partial(mdnn>melu, 1)", Partial("melu", 1.0)),
        (keras.saving.serialize_keras_object(Partial("elu", 0.1)), Partial("elu", 0.1)),
        (keras.saving.serialize_keras_object(activations.sort2), activations.sort2),
    ],
)
def test_get(identifier, expected):
    assert activations.get(identifier) == expected


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("mellu", "Unknown activation 'mellu' (did you mean 'melu'?)"),
        ("Sort", "'Sort' (did you mean 'sort2'?)"),
        ("mdnn>absolut", "'mdnn>absolut' (did you mean 'absolute'?)"),
        ("gellu", "'gellu' (did you mean 'gelu'?)"),
        ("patial(melu, 1)", "(did you mean 'partial(melu, 0.75)'?)"),
        ("partial(mel, 1)", "Unknown activation 'mel' (did you mean 'melu'?)"),
        ("partial(melu, lots)", "number as the fraction of 'partial(melu, lots)'. Received: lots"),
        ("partial(melu, 2)", "Expected `fraction` in 0 .. 1. Received: 2.0"),
        (3, "a name, a callable, a serialized activation or None. Received: 3"),
    ],
)
def test_get_errors(identifier, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared below)
        activations.get(identifier)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def unregistered(x):
    return x


unregistered.__name__ = "melu"

ROUND_TRIPS = [*NUMPY, "silu", "linear", "partial(melu, 0.75)", "partial(sort2, 0.1)"]


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_serialize_gives_the_name_back(name):
    activation = activations.get(name)
    assert activations.serialize(activation) == name
    assert activations.get(json.loads(json.dumps(activations.serialize(activation)))) == activation


def test_serialize_odd_cases():
    assert activations.serialize(None) == "linear"
    # 1/3 must come back as the same float.
    third = Partial("melu", 1 / 3)
    assert activations.get(activations.serialize(third)) == third
    nested = Partial(Partial("gelu", 0.5), 0.5)
    assert activations.get(json.loads(json.dumps(activations.serialize(nested)))) == nested
    # Not mistaken for the activation whose name it bears.
    assert activations.serialize(unregistered) != "melu"


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_in_any_keras_layer_and_file(name, tmp_path):
    activation = activations.get(name)
    layer = keras.layers.Dense(4, activation=activation)
    config = json.loads(json.dumps(layer.get_config()))
    assert keras.layers.Dense.from_config(config).activation == activation
    model = keras.Sequential([keras.Input((3,)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].activation == activation
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))
