"""A headless Chromium, by the W3C's WebDriver protocol: JSON over HTTP to ChromeDriver."""

import base64
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key that the protocol gives elements."""


def missing():
    """The program that is not installed, or `None`."""
    return next((name for name in ("chromium", "chromedriver") if not shutil.which(name)), None)


class Browser:
    """One window.

    Args:
        port: int, ChromeDriver's.
        session: str, empty before there is one.
    """

    def __init__(self, port, session=""):
        self.port, self.session = port, session

    def call(self, method, path, body=None):
        """The value of one call of the protocol."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            raw = None if body is None else json.dumps(body)
            connection.request(method, f"/session{self.session}{path}", raw)
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        if response.status != 200:
            raise AssertionError(f"{method} {path}: {value['error']}: {value['message'][:300]}")
        return value

    def open(self, address):
        self.call("POST", "/url", {"url": address})

    def find(self, selector):
        """The path of the first element that a CSS selector names."""
        body = {"using": "css selector", "value": selector}
        return "/element/" + self.call("POST", "/element", body)[ELEMENT]

    def click(self, selector):
        self.call("POST", self.find(selector) + "/click", {})

    def type(self, selector, text):
        """Types text into a field that is emptied first."""
        element = self.find(selector)
        self.call("POST", element + "/clear", {})
        self.call("POST", element + "/value", {"text": text})

    def script(self, text, *arguments):
        """What JavaScript returns."""
        return self.call("POST", "/execute/sync", {"script": text, "args": list(arguments)})

    def text(self, selector):
        """An element's text, spaces and all."""
        return self.script("return document.querySelector(arguments[0]).textContent", selector)

    def until(self, script, *arguments, seconds=20):
        """Waits until JavaScript returns something true; returns it."""
        end = time.monotonic() + seconds
        while not (found := self.script(script, *arguments)):
            assert time.monotonic() < end, f"it did not come to hold: {script}"
            time.sleep(0.02)
        return found

    def picture(self, path):
        """Writes what is shown as a PNG."""
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def log(self):
        """What the console was told since it was last asked, as lines."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]


@contextlib.contextmanager
def browser(width=1000, height=800, dark=False, touch=False):
    """A `Browser` that ends with the block.

    Args:
        width, height: of the page, pixels.
        dark: whether the person likes it dark.
        touch: whether it is a phone, whose pixels are smaller.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    window = Browser(port)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            options = {
                "binary": shutil.which("chromium"),
                "args": [
                    *FLAGS,
                    f"--user-data-dir={profile}",
                    f"--window-size={width},{height}",
                    *(["--blink-settings=preferredColorScheme=0"] if dark else []),
                ],
            }
            if touch:
                metrics = {"width": width, "height": height, "pixelRatio": 2.0, "touch": True}
                options["mobileEmulation"] = {"deviceMetrics": metrics}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            body = {"capabilities": {"alwaysMatch": wanted}}
            end = time.monotonic() + 30
            while not window.session:
                try:
                    window.session = "/" + window.call("POST", "", body)["sessionId"]
                except ConnectionRefusedError:
                    assert time.monotonic() < end, "ChromeDriver does not answer"
                    time.sleep(0.05)
            yield window
        finally:
            if window.session:
                window.call("DELETE", "")
            driver.terminate()
            driver.wait()
