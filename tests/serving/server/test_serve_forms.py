"""The REST forms on a tiny network: answers, errors, many clients at once, streams."""

import base64
import concurrent.futures
import json
import re

import keras
import numpy as np
import pytest
from serving_client import NAME, serving

import mdnn

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

from mdnn.serving.server.served_models import open_served_model, open_served_run

# To make a SavedModel takes longer than all that is asked of it.
BOTH = pytest.mark.parametrize("kind", ["client", pytest.param("saved", marks=pytest.mark.long)])
PROMPTS = ["The ", "m", "The cat sat on the mat. The dog", "Ça va, naïve 😀 日本\u0000"]


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module")
def run(opened_tiny):
    return opened_tiny


@pytest.fixture(scope="module")
def client(opened_tiny):
    with serving(
        open_served_run(opened_tiny), gather=30, body=20_000, prompt=500, length=1000
    ) as client:
        yield client


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    return mdnn.export(tiny_run, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def saved(exported):
    with serving(open_served_model(exported.parent)) as client:
        yield client


def written(run, prompt, length, temperature=0.0, seed=0):
    return mdnn.generate(run, prompt, length=length, temperature=temperature, seed=seed)


def test_status_and_metadata(client):
    model = f"/v1/models/{NAME}"
    status = {"error_code": "OK", "error_message": ""}
    expected = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert client.get(model) == (200, expected)
    assert client.get(f"{model}/versions/1") == (200, expected)
    code, found = client.get(f"{model}/metadata")
    assert (code, found["model_spec"]["name"]) == (200, NAME)
    tables = found["metadata"]["signature_def"]["signature_def"]
    assert set(tables) == {"serving_default", "generate"}
    tokens = tables["serving_default"]["inputs"]["tokens"]
    sizes = [size["size"] for size in tokens["tensor_shape"]["dim"]]
    assert (tokens["dtype"], sizes) == ("DT_INT32", ["-1", "8", "8"])
    length = tables["generate"]["inputs"]["length"]
    assert length["tensor_shape"] == {"dim": [], "unknown_rank": True}
    assert tables["generate"]["outputs"]["text"]["dtype"] == "DT_STRING"


@pytest.mark.long
def test_a_run_folder_and_its_saved_model_say_the_same_of_themselves(client, saved):
    path = f"/v1/models/{NAME}/metadata"
    assert client.get(path) == saved.get(path)


@BOTH
def test_rows_and_columns(request, run, kind):
    client = request.getfixturevalue(kind)
    settings = [(0, 0.0, 4), (3, 0.8, 5), (21, 1.0, 6), (17, 2.0, -7)]
    rows = [(prompt, *own) for prompt, own in zip(PROMPTS, settings, strict=True)]
    expected = [written(run, *row) for row in rows]
    assert client.generate(rows) == (200, {"predictions": expected})
    names = ("prompt", "length", "temperature", "seed")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["prompt"] = [{"b64": base64.b64encode(prompt.encode()).decode()} for prompt in PROMPTS]
    body = {"signature_name": "generate", "inputs": columns}
    assert client.post("predict", body) == (200, {"outputs": expected})
    # One value for all.
    columns |= {"length": 12, "temperature": [0.8], "seed": 5}
    expected = [written(run, prompt, 12, 0.8, 5) for prompt in PROMPTS]
    assert client.post("predict", body) == (200, {"outputs": expected})
    assert client.generate([("The ", 0, 0.8, 1)]) == (200, {"predictions": [""]})


def test_tokens(client, run):
    units = run.tokenizer.ids("The cat sat on the mat. Ça ")[:24].reshape(3, 8)
    tokens = run.tokenizer.tokens(units)
    code, found = client.post("predict", {"instances": tokens.tolist()})
    assert code == 200
    scores = np.asarray(run.model({"tokens": tokens, "targets": None}))
    given = np.array([row["scores"] for row in found["predictions"]])
    np.testing.assert_allclose(given, scores, rtol=1e-5, atol=1e-5)
    assert [set(row) for row in found["predictions"]] == [{"scores", "unit"}] * 3
    code, found = client.post("predict", {"inputs": {"tokens": tokens.tolist()}})
    assert (code, set(found["outputs"])) == (200, {"scores", "unit"})
    np.testing.assert_array_equal(np.array(found["outputs"]["scores"]), given)


@BOTH
def test_tokens_that_no_table_has(request, run, kind):
    client = request.getfixturevalue(kind)
    tokens = run.tokenizer.tokens(run.tokenizer.ids("The cat ")).reshape(1, 8, 8)
    for column, value, message in (
        (0, 77, "modality: expected padding, text (0, 1), received 77"),
        (3, 256, "byte_3: expected 0 to 255, received 256"),
    ):
        wrong = tokens.copy()
        wrong[0, 2, column] = value
        code, found = client.post("predict", {"inputs": wrong.tolist()})
        assert (code, found) == (400, {"error": f"tokens: row 1, position 3: {message}"})


def generate(**inputs):
    return {"signature_name": "generate", "inputs": inputs}


GOOD = {"prompt": ["a"], "length": 5, "temperature": 0.5, "seed": 1}
BAD = [
    ("", "JSON Parse error"),
    ('{"instances": [1', "JSON Parse error: .* at offset: "),
    (b'{"instances": ["\xff"]}', "JSON Parse error: not UTF-8 at offset: 16"),
    ('{"a": ' + "[" * 9000 + "]" * 9000 + "}", "JSON Parse error"),
    ("[1]", "Is not object"),
    ({}, "Missing 'inputs' or 'instances' key"),
    ({"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances'"),
    ({"instances": []}, "No values in 'instances' array"),
    ({"instances": 3}, "Expecting 'instances' to be an list/array"),
    ({"signature_name": 3}, "'signature_name' key must be a string value"),
    ({"signature_name": "x"}, 'Serving signature name: "x" not found in signature def'),
    ({"instances": [[[1, 2]]]}, r"tokens: expected shape \[\?,8,8\], received \[1, 1, 2\]"),
    ({"instances": [[[0.5] * 8] * 8]}, "tokens: JSON Value: 0.5 is not of expected type: int32"),
    ({"instances": [[[1] * 8] * 7 + [[1] * 7]]}, "list at unexpected size: 7 at level: 2"),
    ({"instances": [[[1] * 8] * 7 + [3]]}, "found at incorrect level: 3"),
    ({"instances": [[[2**40] * 8] * 8]}, "not of expected type: int32"),
    ({"signature_name": "generate", "instances": ["a"]}, "expecting list of objects"),
    ({"signature_name": "generate", "instances": [{"prompt": "a"}]}, "keys must be equal to: "),
    ({"signature_name": "generate", "inputs": ["a"]}, "expecting an object"),
    (generate(prompt=["a"]), "Missing named input: length in 'inputs' object"),
    (generate(**GOOD | {"prompt": [""]}), "prompt: expected at least one character"),
    (generate(**GOOD | {"prompt": ["a", ""]}), "prompt 2: expected at least one character"),
    (generate(**GOOD | {"prompt": "a"}), r"prompt: expected shape \[\?\], received \[\]"),
    (generate(**GOOD | {"prompt": []}), "expected 1 to 16 rows, received 0"),
    (generate(**GOOD | {"prompt": ["a"] * 17}), "expected 1 to 16 rows, received 17"),
    (generate(**GOOD | {"prompt": [7]}), "JSON Value: 7 is not of expected type: string"),
    (generate(**GOOD | {"prompt": ["\ud800"]}), "prompt: unpaired surrogate in string"),
    (generate(**GOOD | {"prompt": [{"b64": "/w=="}]}), "prompt: expected UTF-8, received other"),
    (generate(**GOOD | {"prompt": [{"b64": "?"}]}), "prompt: Unable to base64 decode"),
    (generate(**GOOD | {"prompt": ["a" * 501]}), "expected at most 500 characters, received 501"),
    (generate(**GOOD | {"length": 1001}), "length: expected 0 to 1000, received 1001"),
    (generate(**GOOD | {"length": -1}), "length: expected 0 to 1000, received -1"),
    (generate(**GOOD | {"length": True}), "JSON Value: true is not of expected type: int32"),
    (generate(**GOOD | {"length": [1, 2]}), r"length: expected one value or 1, received shape"),
    (generate(**GOOD | {"temperature": -0.5}), "temperature: expected 0 to 100"),
    (generate(**GOOD | {"temperature": float("nan")}), "temperature: expected 0 to 100"),
    (generate(**GOOD | {"temperature": 10**400}), "without loss"),
    (generate(**GOOD | {"seed": 2**31}), "seed: JSON Value: 2147483648 is not of expected type"),
]


@pytest.mark.parametrize(("body", "message"), BAD)
def test_bad_requests(client, body, message):
    code, found = client.post("predict", body)
    assert (code, list(found)) == (400, ["error"])
    assert re.search(message, found["error"])
    assert "\n" not in found["error"]
    assert len(found["error"]) < 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "prompt: expected a string, received none"),
        ({"prompt": ""}, "prompt: expected at least one character"),
        ({"prompt": "a", "lenght": 3}, "unknown key 'lenght'; known: prompt, length"),
        ({"prompt": ["a"]}, "prompt: expected shape"),
        ({"prompt": "a", "length": 1001}, "length: expected 0 to 1000"),
        ('{"prompt": NaN}', "not of expected type: string"),
    ],
)
def test_bad_streams(client, body, message):
    code, found = client.post("stream", body)
    assert (code, list(found)) == (400, ["error"])
    assert message in found["error"]


def test_addresses(client):
    model = f"/v1/models/{NAME}"
    for path, code, message in (
        ("/v1/models/other", 404, "Servable not found for request: Latest(other)"),
        (f"{model}/versions/2", 404, f"Servable not found for request: Specific({NAME}, 2)"),
        (f"{model}:predict", 400, f"Malformed request: GET {model}:predict"),
        ("/v1/modules", 400, "Malformed request: GET /v1/modules"),
        ("/nothing", 404, "Not Found"),
        ("/page/../page.py", 404, "Not Found"),
    ):
        assert client.get(path) == (code, {"error": message})
    for path, code in (("other:predict", 404), (f"{NAME}:classify", 400), (NAME, 400)):
        code_found, _, raw = client.ask("POST", f"/v1/models/{path}", {})
        assert (code_found, list(json.loads(raw))) == (code, ["error"])
    code, headers, _ = client.ask("DELETE", model)
    assert (code, sorted(headers["Allow"].split(", "))) == (405, ["GET", "HEAD", "POST"])
    rows = {"prompt": ["a"], "length": 2, "temperature": 0, "seed": 0}
    path = f"{model}/versions/1:predict"
    assert client.ask("POST", path, generate(**rows))[0] == 200


def test_sixteen_clients_at_once(client, run):
    """Each gets its own answer, as if it were alone, and several are answered in one batch."""
    prompts = [f"{word} {number}" for number, word in enumerate(["The cat", "Ça va"] * 8)]
    asked = [(prompt, 20 + number % 13, 0.0, 0) for number, prompt in enumerate(prompts)]
    expected = {row: written(run, *row) for row in asked}
    assert len(set(expected.values())) > 12
    client.batcher.sizes.clear()

    def ask(row):
        return [client.generate([row])[1]["predictions"][0] for _ in range(2)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = dict(zip(asked, pool.map(ask, asked), strict=True))
    assert found == {row: [text] * 2 for row, text in expected.items()}
    assert max(client.batcher.sizes) > 4
    assert sum(rows * count for rows, count in client.batcher.sizes.items()) == 32


@BOTH
def test_streams(request, run, kind):
    client = request.getfixturevalue(kind)

    def ask(row):
        prompt, length, temperature, seed = row
        body = {"prompt": prompt, "length": length, "temperature": temperature, "seed": seed}
        return client.stream(**body)

    asked = [(prompt, 70, 0.8, seed) for seed, prompt in enumerate(PROMPTS)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for row, found in zip(asked, pool.map(ask, asked), strict=True):
            *pieces, last = found
            assert last == ("end", {"characters": 70})
            assert len(pieces) > 1
            assert {name for name, _ in pieces} == {"text"}
            assert "".join(data["text"] for _, data in pieces) == written(run, *row)
    assert client.stream(prompt="The ", length=0) == [("end", {"characters": 0})]
    # What is not said is 400 characters at 0.8 from seed 0.
    text = "".join(data["text"] for name, data in client.stream(prompt="The ") if name == "text")
    assert text == written(run, "The ", 400, 0.8, 0)
