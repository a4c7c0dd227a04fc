"""The chunks into which a network cuts a text: asked of the server, shown on the page."""

import os
import pathlib

import keras
import pytest
from browser import browser, missing
from echo_network import AnswerFeedback
from serving_client import serving
from test_chunks_run import load

import mdnn
from mdnn.serving.server.served_model import GENERATE, ServedModel

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)


def cut(text):
    """Chunks of three characters, every second cut a weak one."""
    chunks = [text[k : k + 3] for k in range(0, len(text), 3)]
    return chunks, [(1.0, 0.1)[k % 2] for k in range(len(chunks))]


def network():
    write = AnswerFeedback().write
    return ServedModel("1", {"generate": (GENERATE, None)}, write, chunks=cut)


def test_a_text_is_cut():
    with serving(network(), prompt=20, length=10) as client:
        assert client.get("/about.json")[1]["chunks"] == "/v1/models/tiny:chunks"
        status, answer = client.post("chunks", {"text": "abcdefgh"})
        assert status == 200
        assert answer == {"chunks": ["abc", "def", "gh"], "strength": [1.0, 0.1, 1.0]}
        assert client.post("chunks", {"text": "a" * 31}) == (
            400,
            {"error": "text: expected at most 30 characters (--max-prompt)"},
        )
        for body in ({}, {"text": 3}, {"text": "ab", "more": 1}):
            assert client.post("chunks", body) == (400, {"error": "expected an object of text"})


def test_networks_that_cut_nothing():
    with serving(AnswerFeedback().network()) as client:
        assert client.get("/about.json")[1]["chunks"] is None
        status, answer = client.post("chunks", {"text": "abc"})
        assert (status, answer) == (400, {"error": "this network does not cut texts into chunks"})


def test_the_chunks_are_those_of_the_network(tmp_path):
    from mdnn.serving.server.served_models import open_served_model

    path = mdnn.save(mdnn.build(load(tmp_path)), tmp_path / "run")
    with serving(open_served_model(path)) as client:
        text = "The cat sat on the mat. Extraordinarily so."
        status, answer = client.post("chunks", {"text": text})
        facts = mdnn.inspect_text(path, text)
        assert (status, answer["chunks"]) == (200, facts["chunks"])
        assert answer["strength"] == facts["strength"]
        assert client.post("chunks", {"text": "a"})[0] == 400


@pytest.mark.long
@pytest.mark.skipif(
    missing() is not None,
    reason=f"{missing()} is not installed (Debian: apt-get install chromium chromium-driver)",
)
def test_the_page_shades_them(tmp_path):
    folder = pathlib.Path(os.environ.get("MDNN_PICTURES", tmp_path))
    with serving(network()) as client, browser() as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until("return !document.getElementById('write').disabled")
        window.type("#prompt", "The <b>cat</b> ")
        window.type("#length", "20")
        window.click("#write")
        window.until("return document.getElementById('written').textContent.length === 20")
        window.until("return !document.getElementById('cut').disabled")
        window.click("#cut")
        window.until("return document.querySelectorAll('#written .chunk').length === 12")
        text = window.script("return document.getElementById('written').textContent")
        assert text.startswith("The <b>cat</b> The <b>cat</b> ")
        colours = window.script(
            "return [...document.querySelectorAll('#written .chunk')].map("
            "(e) => getComputedStyle(e).backgroundColor)"
        )
        assert len(set(colours)) == 2
        assert "rgba(0, 0, 0, 0)" not in colours
        window.picture(folder / "chunks.png")
        assert window.log() == []
