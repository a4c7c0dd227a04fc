"""The page in a real browser: a prompt is typed, the answer is read while it is written."""

import os
import pathlib
import time

import numpy as np
import pytest
from browser import browser, missing
from echo_network import AnswerFeedback, echo
from serving_client import serving

from mdnn.serving.server.served_model import ServedModel
from mdnn.serving.server.signatures import Signature, Spec

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        missing() is not None,
        reason=f"{missing()} is not installed (Debian: apt-get install chromium chromium-driver)",
    ),
]


class Paced(AnswerFeedback):
    """Writes as slowly as a person reads."""

    def write(self, *words):
        for new in super().write(*words):
            time.sleep(0.02)
            yield new


@pytest.fixture
def show(tmp_path):
    """Writes what a browser shows to where MDNN_PICTURES says, where it does."""
    folder = pathlib.Path(os.environ.get("MDNN_PICTURES", tmp_path))
    return lambda window, name: window.picture(folder / f"{name}.png")


def ask(window, prompt, length=None):
    window.type("#prompt", prompt)
    if length is not None:
        window.type("#length", str(length))
    window.click("#write")


IDLE = "return !document.getElementById('write').disabled"


def test_a_prompt_and_its_answer(show):
    with serving(Paced().network()) as client, browser() as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until(IDLE)
        assert window.text("#name") == "tiny"
        assert window.script("return document.activeElement.id") == "prompt"
        prompt = 'Once <b>upon</b> a\ntime <script>document.title="x"</script>é😀 '
        ask(window, prompt.replace("😀", ""), 400)
        # It is there before it is whole, and grows.
        grown = (
            "const n = document.getElementById('written').textContent.length; return n > %d && n"
        )
        first = window.until(grown % 0)
        second = window.until(grown % first)
        assert 0 < first < second < 400
        show(window, "writing")
        window.until(IDLE)
        typed = prompt.replace("😀", "")
        assert window.text("#written") == echo(typed, 400)
        assert window.text("#asked") == typed
        assert window.text("#state").startswith("400 characters in ")
        # What is written is text, whatever it looks like.
        assert (
            window.script("return document.querySelectorAll('#answer b, #answer script').length")
            == 0
        )
        assert window.script("return document.title") == "tiny"
        show(window, "light")
        # Nothing was refused by the page's own policy, nothing is missing.
        assert window.log() == []


def test_stop_and_errors(show):
    network = Paced()
    with serving(network.network(), length=20_000, prompt=5000) as client, browser() as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until(IDLE)
        ask(window, "abc", 20_000)
        window.until("return document.getElementById('written').textContent.length > 20")
        window.click("#stop")
        window.until(IDLE)
        assert window.text("#state") == "stopped"
        end = time.monotonic() + 10
        while client.batcher.taken:
            assert time.monotonic() < end
            time.sleep(0.01)
        steps = network.steps
        assert steps < 1000
        window.script("document.getElementById('form').noValidate = true")
        ask(window, "", 10)
        window.until("return document.getElementById('state').classList.contains('wrong')")
        assert window.text("#state") == "prompt: expected at least one character"
        ask(window, "boom", 10)
        window.until("return document.getElementById('state').textContent.startsWith('internal')")
        show(window, "error")
        client.server.should_exit = True
        time.sleep(1)
        window.click("#write")
        window.until("return document.getElementById('state').textContent.includes('fetch')")


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone(show, dark):
    phone = {"width": 390, "height": 844, "touch": True}
    with serving(AnswerFeedback().network()) as client, browser(dark=dark, **phone) as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until(IDLE)
        ask(window, "The cat sat on the mat. " + "w" * 100, 600)
        window.until("return document.getElementById('state').textContent.startsWith('600')")
        # Nothing is wider than the window.
        width = window.script("return [innerWidth, document.documentElement.scrollWidth]")
        assert width == [390, 390]
        assert window.script("return matchMedia('(prefers-color-scheme: dark)').matches") == dark
        style = "getComputedStyle(document.body)"
        colours = window.script(f"const s = {style}; return [s.backgroundColor, s.color]")
        paper, ink = (sum(map(int, c[4:-1].split(","))) for c in colours)
        assert (paper < ink) == dark
        high = "document.getElementById('write').getBoundingClientRect().height"
        assert window.script(f"return {high}") >= 44
        show(window, "phone-dark" if dark else "phone")


# Two grey pixels beside two, none alike.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000200000002080000000057dd52f80000000c4944415478da"
    "6360f80f8400060001ffad2c37250000000049454e44ae426082"
)


def test_items(show):
    """A network of items answers with a picture."""
    text = Spec("string", (None,))
    numbers = {
        name: Spec(kind, None) for name, kind in (("seed", "int32"), ("temperature", "float32"))
    }
    inputs = {
        "text": text,
        "image": text,
        "audio": text,
        "decoding": Spec("string", None),
        **numbers,
    }
    asked = []

    def answer(given):
        asked.append({name: value.tolist() for name, value in given.items()})
        return {"image": np.array([PNG] * len(given["text"]), object)}

    grey = Signature("answer_grey", inputs, {"image": text})
    with serving(ServedModel("1", {"answer_grey": (grey, answer)})) as client, browser() as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until(IDLE)
        assert not window.script(
            "return document.getElementById('decoding').closest('label').hidden"
        )
        ask(window, "seven")
        window.until("return document.getElementById('state').textContent === 'answered'")
        width = "const i = document.querySelector('#written img'); return i && i.naturalWidth"
        window.until(width)
        assert window.script(width) == 2
        show(window, "items")
        expected = {
            "text": [b"seven"],
            "image": [b""],
            "audio": [b""],
            "decoding": [b"autoregressive"],
        }
        assert {name: asked[0][name] for name in expected} == expected
        assert window.log() == []
