"""A server with identities: each request names its own."""

import concurrent.futures
import json

import keras
import numpy as np
import pytest
from serving_client import NAME, serving

import mdnn
from mdnn.identity.adapted_network import specification
from mdnn.identity.identity_file import Identity, fingerprint_of

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

from mdnn.serving.server.served_models import open_served_run

pytestmark = pytest.mark.usefixtures("decoded_without_xla")


def check_openai_forms(client, expected):
    """Each identity is a model of its own, whose requests share batches with the others."""
    names = [NAME, f"{NAME}:other"]
    listed = client.get("/v1/models")[1]["data"]
    assert [model["id"] for model in listed] == names
    assert client.get(f"/v1/models/{NAME}:other")[1]["id"] == names[1]
    status, error = client.get(f"/v1/models/{NAME}:nobody")
    assert (status, error["error"]) == (
        404,
        f"model: expected '{NAME}' or '{NAME}:other', received '{NAME}:nobody'",
    )
    before = sum(client.batcher.sizes.values())

    def complete(name, **more):
        body = {"model": name, "prompt": "The cat", "max_tokens": 9, "temperature": 0, **more}
        status, _, raw = client.ask("POST", "/v1/completions", body)
        return status, json.loads(raw)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(complete, names))
    assert sum(client.batcher.sizes.values()) == before + 1
    for name, text, (status, answer) in zip(names, expected, found, strict=True):
        assert (status, answer["model"], answer["choices"][0]["text"]) == (200, name, text)
    body = {"model": names[1], "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    assert client.ask("POST", "/v1/chat/completions", body)[0] == 200
    status, answer = complete(f"{NAME}:nobody")
    assert status == 404
    assert answer["error"]["message"] == (
        f"model: expected '{NAME}' or '{NAME}:other', received '{NAME}:nobody'"
    )


def test_requests_with_identities(opened_tiny, tmp_path):
    run = opened_tiny
    rng, arrays = np.random.default_rng(1), {}
    for name, (shape, start) in specification(run.model, "offset").items():
        arrays[name] = (float(start == "ones") + rng.normal(size=shape)).astype("float32")
    file = tmp_path / "other.safetensors"
    Identity("offset", arrays, fingerprint_of(run)).write(file)
    expected = [
        mdnn.generate(run, "The cat", length=9, temperature=0, identity=identity)
        for identity in (None, file)
    ]
    with serving(open_served_run(run, identities={"other": file}), gather=30) as client:
        rows = [
            {"prompt": "The cat", "length": 9, "temperature": 0.0, "seed": 0, "identity": name}
            for name in ("", "other", "")
        ]
        code, found = client.post("predict", {"signature_name": "generate", "instances": rows})
        assert code == 200, found
        assert found["predictions"] == [expected[0], expected[1], expected[0]]
        # Who names none has the network as it is, beside rows that name one and in every form.
        del rows[2]["identity"]
        code, found = client.post("predict", {"signature_name": "generate", "instances": rows})
        assert (code, found["predictions"]) == (200, [expected[0], expected[1], expected[0]])
        columns = {name: rows[2][name] for name in ("length", "temperature", "seed")}
        columns["prompt"] = ["The cat"]
        code, found = client.post("predict", {"signature_name": "generate", "inputs": columns})
        assert (code, found["outputs"]) == (200, expected[:1])
        code, found = client.get(f"/v1/models/{NAME}/metadata")
        default = found["metadata"]["signature_def"]["signature_def"]["generate"]["defaults"]
        assert default["identity"]["string_val"] == [""]
        for name, text in (("other", expected[1]), ("", expected[0])):
            events = client.stream(prompt="The cat", length=9, temperature=0, identity=name)
            assert "".join(data["text"] for kind, data in events if kind == "text") == text
        code, found = client.post("stream", {"prompt": "a", "identity": "nobody"})
        assert code == 400
        assert "identity: expected other or none, received 'nobody'" in json.dumps(found)
        check_openai_forms(client, expected)
    with pytest.raises(mdnn.MdnnError, match="belongs to the whole network"):
        open_served_run(run, density=0.5, identities={"other": file})
