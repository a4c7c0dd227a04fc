"""Several networks of one server: each request names its own, in every form and on the page."""

import threading
import time

import keras
import pytest
from browser import browser, missing
from echo_network import AnswerFeedback
from serving_client import NAME, serving

from mdnn.serving.server.served_model import GENERATE, ServedModel

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)


class Shouting(AnswerFeedback):
    """Repeats its prompt in capitals."""

    def network(self):
        about = {"chat": True, "source": "loud.jsonl"}
        return ServedModel("7", {"generate": (GENERATE, None)}, self.write, about=about)

    def write(self, prompts, lengths, temperatures, seeds):
        yield from super().write([p.upper() for p in prompts], lengths, temperatures, seeds)


@pytest.fixture
def client():
    more = {"loud": Shouting().network()}
    with serving(AnswerFeedback().network(), more=more) as one:
        yield one


ROW = {"prompt": "ab", "length": 4, "temperature": 0.0, "seed": 0}


def predict(client, name):
    body = {"signature_name": "generate", "instances": [ROW]}
    return client.ask("POST", f"/v1/models/{name}:predict", body)


def test_each_request_names_its_network(client):
    assert [predict(client, name)[0] for name in (NAME, "loud", "other")] == [200, 200, 404]
    assert b"abab" in predict(client, NAME)[2]
    assert b"ABAB" in predict(client, "loud")[2]
    status = client.get("/v1/models/loud")[1]["model_version_status"][0]
    assert (status["version"], status["state"]) == ("7", "AVAILABLE")
    assert client.get("/v1/models/loud/versions/1")[0] == 404
    status, facts = client.get("/v1/models/loud/metadata")
    assert facts["model_spec"]["name"] == "loud"


def test_openai_s_forms_name_theirs(client):
    listed = client.get("/v1/models")[1]["data"]
    assert [model["id"] for model in listed] == [NAME, "loud"]
    for name, text in ((NAME, "abab"), ("loud", "ABAB")):
        body = {"model": name, "prompt": "ab", "max_tokens": 4, "temperature": 0}
        status, _, raw = client.ask("POST", "/v1/completions", body)
        assert status == 200
        assert f'"text":"{text}"'.encode() in raw.replace(b": ", b":")
        assert f'"model":"{name}"'.encode() in raw.replace(b": ", b":")
    body = {"model": "other", "prompt": "ab"}
    status, _, raw = client.ask("POST", "/v1/completions", body)
    assert status == 404
    assert f"model: expected '{NAME}' or 'loud', received 'other'".encode() in raw


def test_what_the_page_is_told(client):
    first, named = client.get("/about.json")[1], client.get("/about.json?model=loud")[1]
    assert first["models"] == named["models"] == [NAME, "loud"]
    assert (first["name"], named["name"]) == (NAME, "loud")
    assert (first["chat"], named["chat"]) == (False, True)
    assert named["stream"] == "/v1/models/loud:stream"
    assert client.get("/about.json?model=other")[0] == 404


def test_one_that_is_busy_keeps_no_other_waiting():
    slow, loud = AnswerFeedback(), Shouting()
    slow.gate.clear()
    with serving(slow.network(), more={"loud": loud.network()}) as client:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(predict(client, NAME)))
        thread.start()
        end = time.monotonic() + 20
        while not client.batcher.taken:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert predict(client, "loud")[0] == 200
        assert answers == []
        slow.gate.set()
        thread.join(20)
        assert answers[0][0] == 200
        assert client.server.answered == 2


@pytest.mark.long
@pytest.mark.skipif(
    missing() is not None,
    reason=f"{missing()} is not installed (Debian: apt-get install chromium chromium-driver)",
)
def test_a_person_chooses(client):
    """The page shows the other network's name and asks it, in both views."""
    with browser() as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        idle = "return !document.getElementById('write').disabled"
        window.until(idle)
        assert not window.script("return document.getElementById('model-label').hidden")
        window.type("#prompt", "ab")
        window.type("#length", "4")
        window.click("#write")
        window.until("return document.getElementById('written').textContent === 'abab'")
        window.until(idle)
        window.script(
            "const m = document.getElementById('model'); m.value = 'loud';"
            "m.dispatchEvent(new Event('change'))"
        )
        window.until("return document.getElementById('name').textContent === 'loud'")
        # It converses: its view is a conversation.
        window.until("return !document.getElementById('talk').hidden")
        window.click("#show-form")
        window.type("#length", "4")
        window.click("#write")
        window.until("return document.getElementById('written').textContent === 'ABAB'")
        assert window.log() == []
