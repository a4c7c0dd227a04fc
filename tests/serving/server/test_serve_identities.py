"""A server with identities: each request names its own."""

import json

import keras
import numpy as np
import pytest
from serving_client import serving

import mdnn
from mdnn.identity.adapted_network import specification
from mdnn.identity.identity_file import Identity, fingerprint_of

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

from mdnn.serving.server.served_models import open_run_network

pytestmark = pytest.mark.usefixtures("decoded_without_xla")


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
    with serving(open_run_network(run, identities={"other": file}), gather=30) as client:
        rows = [
            {"prompt": "The cat", "length": 9, "temperature": 0.0, "seed": 0, "identity": name}
            for name in ("", "other", "")
        ]
        code, found = client.post("predict", {"signature_name": "generate", "instances": rows})
        assert code == 200, found
        assert found["predictions"] == [expected[0], expected[1], expected[0]]
        for name, text in (("other", expected[1]), ("", expected[0])):
            events = client.stream(prompt="The cat", length=9, temperature=0, identity=name)
            assert "".join(data["text"] for kind, data in events if kind == "text") == text
        code, found = client.post("stream", {"prompt": "a", "identity": "nobody"})
        assert code == 400
        assert "identity: expected other or none, received 'nobody'" in json.dumps(found)
    with pytest.raises(mdnn.MdnnError, match="belongs to the whole network"):
        open_run_network(run, density=0.5, identities={"other": file})
