"""The page as a conversation, in Chromium, on a desktop and on a phone, by keyboard alone."""

import os
import pathlib
import time

import pytest
from browser import browser, missing
from serving_client import serving

from mdnn.serving.server.served_model import GENERATE, ServedModel
from mdnn.tools.calculator import Calculator
from mdnn.tools.toolbox import Toolbox

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        missing() is not None,
        reason=f"{missing()} is not installed (Debian: apt-get install chromium chromium-driver)",
    ),
]

CALL = '\x1d{"name": "calculator", "arguments": {"expression": "6 * 7"}}\x1e'
IDLE = "return !document.getElementById('send').disabled"
TEXTS = "return [...document.querySelectorAll('#messages .text')].map((e) => e.textContent)"


class Talker:
    """Calls the calculator where numbers are asked for, and says its result."""

    def __init__(self):
        self.prompts, self.stopped = [], 0

    def network(self):
        about = {"chat": True, "source": "talk.jsonl"}
        return ServedModel("1", {"generate": (GENERATE, None)}, self.write, about=about)

    def write(self, prompts, lengths, temperatures, seeds):
        (prompt,) = prompts
        self.prompts.append(prompt)
        said = prompt.split("\x1e")[-2]
        if said.startswith("tool: "):
            text = f"It is {said[6:]}. " + "The calculator says so, and it is exact.\x1e"
        elif "6 times 7" in said:
            text = CALL
        elif "story" in said:
            text = "Once upon a time there was a grid. " * 100
        else:
            text = "Hello! <b>I</b> add, multiply and divide.\x1e"
        try:
            for start in range(0, len(text), 4):
                time.sleep(0.02)
                yield [text[start : start + 4]]
        except GeneratorExit:
            self.stopped += 1
            raise


@pytest.fixture
def show(tmp_path):
    """Writes what a browser shows to where MDNN_PICTURES says, where it does."""
    folder = pathlib.Path(os.environ.get("MDNN_PICTURES", tmp_path))
    return lambda window, name: window.picture(folder / f"{name}.png")


def say(window, text):
    window.type("#message", text)
    window.click("#send")


def test_a_conversation_with_a_call(show):
    talker, box = Talker(), Toolbox([Calculator()])
    with (
        serving(talker.network(), key="secret", toolbox=box) as client,
        browser(height=900) as window,
    ):
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until(IDLE)
        assert window.script("return document.activeElement.id") == "message"
        window.type("#key", "wrong")
        say(window, "Hello")
        window.until("return document.getElementById('talk-state').classList.contains('wrong')")
        assert "expected the header Authorization" in window.text("#talk-state")
        window.type("#key", "secret")
        window.click("#again")
        window.until("return document.querySelectorAll('#messages .text').length === 2")
        window.until(IDLE)
        assert window.script(TEXTS) == ["Hello", "Hello! <b>I</b> add, multiply and divide."]
        say(window, "What is 6 times 7?")
        window.until("return document.querySelector('#messages .tool button')")
        show(window, "conversation-asks")
        window.click("#messages .tool button")
        window.until(IDLE)
        texts = window.script(TEXTS)
        assert texts[2] == "What is 6 times 7?"
        assert texts[-2] == "42"
        assert texts[-1] == "It is 42. The calculator says so, and it is exact."
        assert "tools: calculator(expression: string)" in talker.prompts[-1]
        show(window, "conversation")
        # Refused: the network is told so.
        say(window, "And 6 times 7 again?")
        window.until("return document.querySelector('#messages .tool button')")
        window.click("#messages .tool .row button:last-child")
        window.until(IDLE)
        assert "The person refused this call." in window.script(TEXTS)
        window.click("#new")
        assert window.script(TEXTS) == []
        refused = [line for line in window.log() if "401" not in line]
        assert refused == []


def test_stop_edit_and_keyboard(show):
    talker = Talker()
    with serving(talker.network()) as client, browser(width=390, height=844, touch=True) as window:
        window.open(f"http://127.0.0.1:{client.port}/")
        window.until(IDLE)
        # Enter sends, Escape stops; what was written stays.
        window.type("#message", "A story, please.\ue007")
        window.until("return document.querySelectorAll('#messages .assistant').length")
        window.until(
            "return document.querySelector('#messages .assistant .text').textContent.length > 20"
        )
        element = window.find("body")
        window.call("POST", element + "/value", {"text": "\ue00c"})
        window.until(IDLE)
        assert window.text("#talk-state") == "stopped"
        end = time.monotonic() + 10
        while not talker.stopped:
            assert time.monotonic() < end
            time.sleep(0.01)
        (said, story) = window.script(TEXTS)
        assert story.startswith("Once upon a time")
        # The upward arrow edits the last message.
        window.call("POST", window.find("#message") + "/value", {"text": "\ue013"})
        assert window.script("return document.getElementById('message').value") == said
        assert window.script(TEXTS) == []
        window.type("#message", "Hello\ue007")
        window.until("return document.querySelectorAll('#messages .text').length === 2")
        window.until(IDLE)
        assert talker.prompts[-1] == "user: Hello\x1eassistant: "
        # Nothing is wider than the window; what is to be touched is large enough.
        assert (
            window.script("return [innerWidth, document.documentElement.scrollWidth]") == [390] * 2
        )
        heights = window.script(
            "return [...document.querySelectorAll('#talk button, #views button')]"
            ".map((e) => e.getBoundingClientRect().height)"
        )
        assert min(heights) >= 44
        show(window, "conversation-phone")
        window.click("#show-form")
        assert window.script("return document.activeElement.id") == "prompt"
        assert window.log() == []
