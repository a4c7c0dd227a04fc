"""JSON and arrays, without a server."""

import json

import numpy as np
import pytest

from mdnn.serving.requests import json_tensors
from mdnn.serving.requests.json_tensors import answer_json, read_request, tensor
from mdnn.serving.requests.request_limits import RefusalError
from mdnn.serving.server.signatures import Signature, Spec

TWO = Signature(
    "two", {"a": Spec("string", (None,)), "b": Spec("float32", (None, 2))}, {"c": Spec("bool", ())}
)
ONE = Signature("serving_default", {"x": Spec("int64", None)}, {})
SIGNATURES = {"two": TWO, "serving_default": ONE}


def read(request):
    signature, inputs, rows = read_request(json.dumps(request).encode(), SIGNATURES)
    return signature.name, {name: array.tolist() for name, array in inputs.items()}, rows


def test_requests():
    rows = [{"a": "x", "b": [1, 2.5]}, {"a": {"b64": "eA=="}, "b": [0, -1]}]
    inputs = {"a": [b"x", b"x"], "b": [[1, 2.5], [0, -1]]}
    assert read({"signature_name": "two", "instances": rows}) == ("two", inputs, True)
    columns = {"a": ["x", {"b64": "eA=="}], "b": [[1, 2.5], [0, -1]], "more": 3}
    assert read({"signature_name": "two", "inputs": columns}) == ("two", inputs, False)
    # Of one input the name may be left out; no signature is the default one.
    for request in ({"inputs": [[1], [2]]}, {"inputs": {"x": [[1], [2]]}}):
        assert read(request) == ("serving_default", {"x": [[1], [2]]}, False)
    assert read({"instances": [5, 6]}) == ("serving_default", {"x": [5, 6]}, True)
    assert read({"inputs": 7, "signature_name": ""})[1] == {"x": 7}


def test_dtypes():
    for dtype, value in (("int8", -128), ("uint8", 255), ("float64", 1e300), ("bool", True)):
        found = tensor("x", [value], Spec(dtype, None))
        assert (str(found.dtype), found.tolist()) == (dtype, [value])
    assert np.isnan(tensor("x", float("nan"), Spec("float32", None)))
    assert tensor("x", float("-inf"), Spec("float32", None)) == -np.inf
    for dtype, value in (
        ("int8", 128),
        ("uint8", -1),
        ("int32", 1.0),
        ("float32", 1e39),
        ("float32", "1"),
        ("float32", None),
        ("bool", 1),
        ("string", {"b64": 3}),
        ("string", {"b64": "eA==", "more": ""}),
    ):
        with pytest.raises(RefusalError):
            tensor("x", value, Spec(dtype, None))


def test_depth():
    value = 1
    for _ in range(900):
        value = [value]
    with pytest.raises(RefusalError, match="x: expected at most 8 axes"):
        tensor("x", value, Spec("int32", None))


def answer(rows, **outputs):
    outputs = {
        name: np.array(value, object if isinstance(value[0], bytes) else None)
        for name, value in outputs.items()
    }
    return json.loads(answer_json(outputs, rows))


def test_answers():
    assert answer(True, y=[1, 2]) == {"predictions": [1, 2]}
    assert answer(False, y=[[1], [2]]) == {"outputs": [[1], [2]]}
    assert answer(True, y=[1, 2], z=[[True], [False]]) == {
        "predictions": [{"y": 1, "z": [True]}, {"y": 2, "z": [False]}]
    }
    assert answer(False, y=[1], z=[2]) == {"outputs": {"y": [1], "z": [2]}}
    assert answer(True, text=[b"\xc3\xa9"]) == {"predictions": ["é"]}
    file = {"b64": "YQ=="}
    for name in ("image", "audio", "x_bytes"):
        assert answer(True, **{name: [b"a"]}) == {"predictions": [file]}
    # One that is not text makes all of them bytes.
    assert answer(True, text=[b"a", b"\xff"]) == {"predictions": [file, {"b64": "/w=="}]}


def test_numbers_are_the_shortest_that_are_right():
    values = np.array([0.1, 1 / 3, 1e-30, 1.0, np.nan, np.inf, -np.inf], "float32")
    text = answer_json({"y": values}, False).decode()
    assert text == '{"outputs": [0.1, 0.33333334, 1e-30, 1.0, NaN, Infinity, -Infinity]}'
    many = np.random.default_rng(0).normal(size=1000).astype("float32")
    again = np.array(json.loads(answer_json({"y": many}, True))["predictions"], "float32")
    np.testing.assert_array_equal(again, many)


def test_answers_that_cannot_be(monkeypatch):
    with pytest.raises(RefusalError, match="unequal rows"):
        answer(True, y=[1, 2], z=[1])
    monkeypatch.setattr(json_tensors, "MOST_NUMBERS", 5)
    with pytest.raises(RefusalError, match="an answer of 6 numbers; at most 5"):
        answer(True, y=[1, 2, 3], z=[1, 2, 3])
