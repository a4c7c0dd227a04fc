"""Small weights as arrays: what is kept of them, how few bytes they take, what is refused."""

import json

import numpy as np
import pytest

from mdnn import MdnnError
from mdnn.runs.quantization import DTYPES, check_dtype, pack_weights, packed_dtype, unpack_weights
from mdnn.runs.quantization_search import GROUP


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype("float32")


def there_and_back(arrays, dtype):
    packed, about = pack_weights(arrays, dtype)
    found = unpack_weights(packed, about, "file")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
    return packed, found


def relative_error(found, array):
    return np.sqrt(np.square(found - array).sum() / np.square(array).sum())


# What an evenly spread rounding error of half a step leaves of normally distributed weights.
@pytest.mark.parametrize(("dtype", "error"), [("float16", 3e-4), ("int8", 8e-3), ("int4", 0.09)])
@pytest.mark.parametrize("shape", [(96, 64), (70, 91), (3, 5, 40, 11), (2, 4001)])
def test_most_of_an_array_is_kept(dtype, error, shape):
    array = normal(*shape)
    _, found = there_and_back({"a/kernel": array}, dtype)
    assert 0 < relative_error(found["a/kernel"], array) < error


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_each_weight_is_within_half_a_step(dtype):
    """Of 8 bits always; of 4 bits unless its group's scale was searched into clipping it."""
    array = normal(128, 64)
    packed, found = there_and_back({"kernel": array}, dtype)
    stored = json.loads(pack_weights({"kernel": array}, dtype)[1]["stored"])["kernel"]
    turned = stored["turned"]
    steps = np.abs(packed["kernel:scales"].astype("float32"))
    errors, values = (
        (a.T if turned else a).reshape(-1, GROUP[dtype])
        for a in (np.abs(found["kernel"] - array), array)
    )
    # The lowest code of 4 bits is taken: half a step beyond it, everything clips.
    clipped = np.abs(values) > 7 * steps[:, None] if dtype == "int4" else np.zeros(1, "bool")
    assert (errors <= np.where(clipped, np.inf, 0.501 * steps[:, None])).all()
    assert np.mean(clipped) < 0.1


def test_groups_run_where_weights_are_alike():
    """Outputs of very different sizes, then inputs: each has scales of its own."""
    sizes = np.geomspace(0.01, 10, 64, dtype="float32")
    by_output, by_input = normal(64, 64) * sizes, normal(64, 64) * sizes[:, None]
    packed, about = pack_weights({"a": by_output, "b": by_input}, "int4")
    stored = json.loads(about["stored"])
    assert [stored[name]["turned"] for name in "ab"] == [True, False]
    found = unpack_weights(packed, about, "file")
    for name, array, axis in (("a", by_output, 0), ("b", by_input, 1)):
        error = np.square(found[name] - array).sum(axis) / np.square(array).sum(axis)
        assert np.sqrt(error).max() < 0.15


def test_a_searched_scale_beats_the_largest_weight():
    array = normal(128, 64)
    rows = array.reshape(-1, GROUP["int4"])
    steps = np.abs(rows).max(axis=1, keepdims=True) / 7
    plain = np.round(rows / steps) * steps
    _, found = there_and_back({"kernel": array}, "int4")
    assert relative_error(found["kernel"], array) < 0.93 * relative_error(
        plain.reshape(array.shape), array
    )


def test_codes_are_exact():
    """Values that 4 bits have, in every place of their bytes."""
    codes = np.random.default_rng(0).integers(-8, 8, (128, 64)).astype("float32")
    codes[:, ::32] = -8
    for array in (codes / 16, -codes / 16):
        _, found = there_and_back({"kernel": array}, "int4")
        np.testing.assert_array_equal(found["kernel"], array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros(dtype):
    _, found = there_and_back({"kernel": np.zeros((65, 64), "float32")}, dtype)
    np.testing.assert_array_equal(found["kernel"], 0)


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 16), ("int8", 8.25), ("int4", 4.5)])
def test_bytes(dtype, bits):
    packed, _ = pack_weights({"kernel": normal(128, 256)}, dtype)
    assert sum(array.nbytes for array in packed.values()) == 128 * 256 * bits / 8


def test_what_is_stored_how():
    arrays = {
        "embedding/text": normal(64, 64),
        "heads/text_kernel": normal(64, 64),
        "heads/text_bias": normal(64, 64),
        "block/mixer/bias": normal(64, 64),
        "refeed/block/dense/kernel": normal(64, 64),
        "block/dense/small_kernel": normal(63, 64),
        "block/norm/scale": normal(5000),
        "block/half": normal(64, 64).astype("float16"),
        "block/tiny": normal(64, 64, scale=1e-5),
        "block/huge": normal(64, 64, scale=1e5),
    }
    of_dtype = {}
    for dtype in DTYPES:
        _, about = pack_weights(arrays, dtype)
        assert packed_dtype(about) == dtype
        stored = json.loads(about["stored"])
        of_dtype[dtype] = [stored[name]["dtype"] if name in stored else None for name in arrays]
        there_and_back(arrays, dtype)
    stays = [None] * 4
    assert of_dtype == {
        "float16": ["float16", "float16", None, None, "float16", "float16", *stays],
        "int8": ["int8", "int8", None, None, "int8", "float16", *stays],
        "int4": ["int4", "int4", None, None, "int4", "float16", *stays],
    }


def test_weights_as_they_are():
    arrays = {"kernel": normal(64, 64)}
    assert packed_dtype({}) == "float32"
    assert unpack_weights(arrays, {"step": "7"}, "file") == arrays


def test_many_groups(monkeypatch):
    """A large array is worked on in parts, which give what the whole gives."""
    array = normal(90, 70)
    whole, _ = pack_weights({"kernel": array}, "int4")
    monkeypatch.setattr("mdnn.runs.quantization_search._ROWS", 7)
    parts, _ = pack_weights({"kernel": array}, "int4")
    for name, stored in whole.items():
        np.testing.assert_array_equal(parts[name], stored)


def test_unknown_dtypes():
    with pytest.raises(MdnnError) as error:
        check_dtype("in4")
    assert str(error.value) == (
        "to: unknown 'in4' (did you mean 'int4'?); known: int8, int4, float16"
    )
    with pytest.raises(MdnnError, match="unknown 7; known"):
        pack_weights({}, 7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_finite_numbers(value):
    array = normal(64, 64)
    array[3, 5] = value
    with pytest.raises(MdnnError, match="'a/kernel' holds values that are not finite"):
        pack_weights({"a/kernel": array}, "int8")


FOUND = "found uint8 (128, 16) with scales float16 (128,)"


def without(name):
    return lambda arrays, stored: arrays.pop(name)


def replaced(name, function):
    return lambda arrays, stored: arrays.update({name: function(arrays[name])})


def said(**other):
    return lambda arrays, stored: stored["kernel"].update(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("kernel"), "file lacks weight 'kernel'"),
        (without("kernel:scales"), "file lacks weight 'kernel:scales'"),
        (
            replaced("kernel", lambda a: a[:-1]),
            "expected 'kernel' (64, 64) in int4, found uint8 (127, 16) with scales float16 (128,)",
        ),
        (replaced("kernel", lambda a: a.astype("int8")), "found int8 (128, 16)"),
        (replaced("kernel", lambda a: a.reshape(-1)), "found uint8 (2048,)"),
        (replaced("kernel", lambda a: np.concatenate([a, a[:1]])), "found uint8 (129, 16)"),
        (replaced("kernel:scales", lambda a: a[:-1]), "with scales float16 (127,)"),
        (replaced("kernel:scales", lambda a: a.astype("f4")), "with scales float32 (128,)"),
        (said(shape=[64, 63]), f"expected 'kernel' (64, 63) in int4, {FOUND}"),
        (said(shape=[10**9, 10**9]), FOUND),
        (said(shape=[4096], turned=True), FOUND),
        (said(dtype="int8"), f"expected 'kernel' (64, 64) in int8, {FOUND}"),
        (said(dtype="float16"), "in float16, found uint8 (128, 16)"),
        (said(dtype="int5"), "file: kernel.dtype: expected one of int8, int4, float16"),
        (said(size=3), "file: unknown key 'kernel.size'"),
        (said(shape=[-1, 64]), "file: kernel.shape.0: expected at least 0, received -1"),
        (said(shape="64"), "file: kernel.shape: expected a list"),
    ],
)
def test_arrays_that_are_not_as_is_said(change, message):
    arrays, about = pack_weights({"kernel": normal(64, 64)}, "int4")
    stored = json.loads(about["stored"])
    change(arrays, stored)
    with pytest.raises(MdnnError) as error:
        unpack_weights(arrays, about | {"stored": json.dumps(stored)}, "file")
    assert str(error.value).startswith("file")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"dtype": "int5"}, "file: weights stored as 'int5', expected one of int8, int4"),
        ({"stored": "["}, "file does not say how its weights are stored"),
        ({"stored": "[]"}, "file does not say how its weights are stored"),
        ({"stored": '{"kernel": 3}'}, "file: kernel: expected a table, received 3"),
    ],
)
def test_damaged_metadata(other, message):
    arrays, about = pack_weights({"kernel": normal(64, 64)}, "int8")
    with pytest.raises(MdnnError) as error:
        unpack_weights(arrays, about | other, "file")
    assert str(error.value).startswith(message)


def test_no_metadata():
    arrays, about = pack_weights({"kernel": normal(64, 64)}, "int8")
    del about["stored"]
    with pytest.raises(MdnnError, match="does not say how"):
        unpack_weights(arrays, about, "file")


def test_what_is_not_expected_is_refused_before_it_is_made(monkeypatch):
    packed, about = pack_weights({"kernel": np.ones((64, 64), "float32")}, "int8")
    right = {"kernel": ("float32", (64, 64))}
    np.testing.assert_allclose(
        unpack_weights(packed, about, "file", right)["kernel"], 1.0, rtol=0.02
    )
    monkeypatch.setattr("mdnn.runs.quantization.expand", None)
    with pytest.raises(MdnnError, match=r"file: expected 'kernel' as float32 \(64, 32\), found"):
        unpack_weights(packed, about, "file", {"kernel": ("float32", (64, 32))})
    with pytest.raises(MdnnError, match="file lacks weight 'other'"):
        unpack_weights(packed, about, "file", right | {"other": ("float32", (1,))})
