"""Networks of items behind HTTP: texts, pictures and sounds, asked and answered."""

import base64
import io
import wave

import keras
import numpy as np
import pytest
import tiny
from serving_client import serving

import mdnn
from mdnn.datasets.media.media_files import item_bytes, read_picture
from mdnn.runs.run_folder import open_run
from mdnn.tokens.items import Item

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

# To trace every kind of answer takes longer than all other tests of this room.
pytestmark = pytest.mark.long

from mdnn.serving.server.served_models import open_served_model  # noqa: E402


def b64(data):
    return {"b64": base64.b64encode(data).decode("ascii")}


def test_items(items_run):
    run = open_run(items_run)
    picture = tiny.picture("seven", 1)
    asked = {"text": "", "image": b64(item_bytes(Item("grey", picture))[0]), "audio": ""}
    settings = {"seed": 3, "temperature": 0.0, "decoding": "autoregressive"}
    with serving(open_served_model(items_run)) as client:
        about = client.get("/about.json")[1]
        kinds = {"answer_text", "answer_grey", "answer_audio"}
        guided = {name.replace("answer", "guided") for name in kinds}
        assert set(about["signatures"]) == {"serving_default", *kinds, *guided}
        assert about["stream"] is None
        rows = [
            asked | settings | {"decoding": how}
            for how in ("autoregressive", "parallel", "masked_diffusion")
        ]
        code, found = client.post("predict", {"signature_name": "answer_text", "instances": rows})
        expected = [
            mdnn.generate(
                run, [picture], output="text", decoding=row["decoding"], temperature=0, seed=3
            )
            for row in rows
        ]
        assert (code, found) == (200, {"predictions": expected})

        words = ["one", "seven"]
        inputs = {"text": words, "image": ["", ""], "audio": ["", ""]} | settings
        code, found = client.post("predict", {"signature_name": "answer_grey", "inputs": inputs})
        assert code == 200
        for word, one in zip(words, found["outputs"], strict=True):
            drawn = mdnn.generate(run, [word], output="grey 4x4", temperature=0, seed=3)
            np.testing.assert_array_equal(
                read_picture(base64.b64decode(one["b64"]), "a.png").value, drawn
            )

        inputs = inputs | {"samples": 0}
        code, found = client.post("predict", {"signature_name": "answer_audio", "inputs": inputs})
        assert code == 200
        for word, one in zip(words, found["outputs"], strict=True):
            said = mdnn.generate(run, [word], output="audio", temperature=0, seed=3)
            with wave.open(io.BytesIO(base64.b64decode(one["b64"]))) as file:
                samples = np.frombuffer(file.readframes(1000), "<i2")
            np.testing.assert_array_equal(samples, said)

        row = settings | {"text": "seven", "image": "", "audio": "", "decoding": "parallel"}
        row |= {"guidance_scale": 3.0, "negative_text": ["one", "two"], "revise": 4}
        row |= {"negative_image": [], "negative_audio": []}
        body = {"signature_name": "guided_grey", "instances": [row, row | {"text": "one"}]}
        code, found = client.post("predict", body)
        assert code == 200
        options = {"guidance_scale": 3.0, "negative_prompt": ["one", "two"], "revise": 4}
        for word, one in zip(("seven", "one"), found["predictions"], strict=True):
            drawn = mdnn.generate(
                run, [word], output="grey", temperature=0, decoding="parallel", **options
            )
            np.testing.assert_array_equal(
                read_picture(base64.b64decode(one["b64"]), "a.png").value, drawn
            )
        for change, message in (
            ({"negative_text": ["one"] * 100}, "prompts and negative prompts together, received 1"),
            ({"negative_text": [b64(b"\xff")] * 2}, "negative_text 1: expected UTF-8"),
            ({"guidance_scale": 1.0}, "expected guidance_scale, a number other than 1"),
        ):
            body = {"signature_name": "guided_grey", "instances": [row | change]}
            code, found = client.post("predict", body)
            assert (code, "\n" in found["error"]) == (400, False)
            assert message in found["error"]

        for name, value, message in (
            ("image", b64(b"\x89PNG no"), "prompt 1: image: "),
            ("audio", b64(b"RIFF"), "prompt 1: audio: "),
            ("text", b64(b"\xff"), "prompt: expected UTF-8"),
            (
                "decoding",
                "never",
                "decoding: expected autoregressive, parallel, masked_diffusion, received never",
            ),
            ("temperature", -1, "temperature: expected 0 to 100"),
        ):
            row = asked | settings | {name: value}
            body = {"signature_name": "answer_text", "instances": [row]}
            code, found = client.post("predict", body)
            assert code == 400
            assert found["error"].startswith(message)
            assert "\n" not in found["error"]
        # A row that is refused harms no other request in its batch.
        code, found = client.post("predict", {"signature_name": "answer_text", "instances": rows})
        assert (code, found) == (200, {"predictions": expected})
