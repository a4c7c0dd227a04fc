"""Limits, faults and the end of a server, on a network that writes as slowly as it is told to."""

import concurrent.futures
import contextlib
import http.client
import json
import time

import pytest
from echo_network import STEP, AnswerFeedback, echo
from serving_client import NAME, events, raw, serving

from mdnn.serving.server import uvicorn_server as stopping


@pytest.fixture
def slow():
    """An `AnswerFeedback`, whose gate is open in the end, so that its thread ends."""
    network = AnswerFeedback()
    yield network
    network.gate.set()


def until(condition, seconds=10):
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)


def test_bodies_that_are_too_large(slow):
    with serving(slow.network(), body=1000) as client:
        path = f"/v1/models/{NAME}:predict"
        code, _, _ = client.ask("POST", path, b"x" * 1001)
        assert code == 413
        # A length that is not said.
        code, _, _ = client.ask("POST", path, iter([b"x" * 600] * 2))
        assert code == 413
        code, _, _ = client.ask("POST", path, b"x" * 1000)
        assert code == 400
        # A length that is a lie, or none.
        assert b" 400 " in raw(
            client.port, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"
        )
        huge = b"POST / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000
        assert b" 400 " in raw(client.port, huge)
        assert client.generate([("abc", 5, 0, 0)]) == (200, {"predictions": ["abcab"]})


def test_a_body_that_does_not_come(slow):
    with serving(slow.network(), seconds=0.2) as client:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
        with contextlib.closing(connection):
            connection.putrequest("POST", f"/v1/models/{NAME}:predict")
            connection.putheader("Content-Length", "100")
            connection.endheaders(b"{")
            assert connection.getresponse().status == 504


def test_no_time_is_left(slow):
    slow.gate.clear()
    with serving(slow.network(), seconds=0.2) as client:
        code, found = client.generate([("abc", 5, 0, 0)])
        assert (code, found) == (504, {"error": "not answered within 0.2 seconds"})
        found = client.stream(prompt="abc", length=5)
        assert found == [("error", {"error": "not answered within 0.2 seconds"})]
        slow.gate.set()
        assert client.generate([("abc", 5, 0, 0)])[0] == 200


def test_too_many_wait(slow):
    slow.gate.clear()
    with serving(slow.network(), waiting=2, gather=0) as client, pool(4) as asking:
        first = asking(client.generate, [("a", 4, 0, 0)])
        until(lambda: slow.batches)
        # Another length, so that they do not share a batch.
        others = [asking(client.generate, [("b", 900, 0, 0)]) for _ in range(2)]
        until(lambda: len(client.batcher.waiting) == 2)
        code, found = client.generate([("c", 4, 0, 0)])
        assert (code, found) == (503, {"error": "2 requests are waiting, no more are accepted"})
        assert client.post("stream", {"prompt": "c"})[0] == 503
        slow.gate.set()
        assert first.result()[0] == 200
        assert [other.result()[0] for other in others] == [200, 200]


@contextlib.contextmanager
def pool(number):
    with concurrent.futures.ThreadPoolExecutor(number) as threads:
        yield threads.submit


def test_a_short_answer_does_not_wait_for_a_long_one(slow):
    class Paced(AnswerFeedback):
        def write(self, *words):
            for new in super().write(*words):
                time.sleep(0.005)
                yield new

    with serving(Paced().network(), gather=0) as client, pool(1) as asking:
        long = asking(client.generate, [("long", 9_000, 0, 0)])
        until(lambda: client.batcher.taken)
        assert client.generate([("short", 12, 0, 0)]) == (200, {"predictions": [echo("short", 12)]})
        assert not long.done()
        client.batcher.tell_all()
        assert long.result() == (503, {"error": "the server is stopping"})


def test_clients_that_go_away(slow):
    """Nothing more is computed for them."""
    with serving(slow.network(), gather=0) as client:
        for verb in ("stream", "predict"):
            slow.gate.clear()
            slow.steps = 0
            body = {"prompt": "abc", "length": 4000}
            if verb == "predict":
                own = {"prompt": ["abc"], "length": 4000, "temperature": 0, "seed": 0}
                body = {"signature_name": "generate", "inputs": own}
            connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
            connection.request("POST", f"/v1/models/{NAME}:{verb}", json.dumps(body))
            until(lambda: client.batcher.taken)
            (job,) = client.batcher.taken
            connection.close()
            until(lambda job=job: job.over)
            slow.gate.set()
            until(lambda: not client.batcher.taken)
            assert slow.steps < 4000 // STEP


def test_a_fault_of_the_network(slow, capfd):
    with serving(slow.network()) as client:
        answer = client.generate([("boom", 5, 0, 0)])
        assert answer == (500, {"error": "internal error: ZeroDivisionError"})
        found = client.stream(prompt="boom")
        assert found == [("error", {"error": "internal error: ZeroDivisionError"})]
        assert client.generate([("abc", 5, 0, 0)]) == (200, {"predictions": ["abcab"]})
    assert "a fault of the network's" in capfd.readouterr().err


def test_what_is_asked_is_answered_before_the_end(slow):
    slow.gate.clear()
    with serving(slow.network(), gather=0) as client, pool(2) as asking:
        answer = asking(client.generate, [("abc", 8, 0, 0)])
        stream = asking(client.stream, prompt="xyz", length=1000)
        until(lambda: len(client.batcher.taken) + len(client.batcher.waiting) == 2)
        client.server.should_exit = True
        until(lambda: client.batcher.stopping)
        slow.gate.set()
        assert answer.result() == (200, {"predictions": ["abcabcab"]})
        assert stream.result()[-1] == ("end", {"characters": 1000})
        with pytest.raises(OSError, match=r"refused|reset"):
            client.generate([("abc", 8, 0, 0)])


def test_what_cannot_be_answered_in_the_end_is_told(slow, monkeypatch):
    monkeypatch.setattr(stopping, "GRACE", 0.2)
    slow.gate.clear()
    with serving(slow.network(), gather=0) as client, pool(2) as asking:
        answer = asking(client.generate, [("abc", 8, 0, 0)])
        stream = asking(client.stream, prompt="xyz", length=1000)
        until(lambda: len(client.batcher.taken) + len(client.batcher.waiting) == 2)
        client.server.should_exit = True
        assert answer.result() == (503, {"error": "the server is stopping"})
        assert stream.result() == [("error", {"error": "the server is stopping"})]
        slow.gate.set()


def test_a_stream_comes_as_it_is_written(slow):
    slow.gate.clear()
    with serving(slow.network(), gather=0) as client:
        connection, response = client.open(
            "POST", f"/v1/models/{NAME}:stream", {"prompt": "abc", "length": 3 * STEP}
        )
        with contextlib.closing(connection):
            found = events(response)
            for piece in ("abca", "bcab"):
                slow.single.release()
                assert next(found) == ("text", {"text": piece})
            slow.gate.set()
            assert [name for name, _ in found] == ["text", "end"]


ALLOWED = [("localhost", 200), ("127.0.0.1", 200), ("LOCALHOST:80", 200), ("[::1]:8501", 200)]
REFUSED = [
    ("evil.example", 403),
    ("localhost.evil.example:8501", 403),
    ("127.0.0.1.evil.example", 403),
    ("evil@localhost", 403),
    ("", 403),
]


def test_the_header_host(slow):
    with serving(slow.network()) as client:
        for host, code in ALLOWED + REFUSED:
            for path in ("/", f"/v1/models/{NAME}"):
                assert client.ask("GET", path, headers={"Host": host})[0] == code, host
    with serving(slow.network(), host="0.0.0.0") as client:
        assert client.ask("GET", "/", headers={"Host": "box.lan:8501"})[0] == 200


def test_other_origins(slow):
    with serving(slow.network()) as client:
        own = f"http://127.0.0.1:{client.port}"
        for origin, code in (
            (own, 200),
            ("http://evil.example", 403),
            (f"http://localhost:{client.port}", 403),
            ("null", 403),
            ("http://[", 403),
        ):
            body = {"prompt": "abc", "length": 4}
            code_found, headers, _ = client.ask(
                "POST", f"/v1/models/{NAME}:stream", body, {"Origin": origin}
            )
            assert code_found == code
            assert not [name for name in headers if name.lower().startswith("access-control")]
        code, headers, _ = client.ask("OPTIONS", f"/v1/models/{NAME}:predict")
        assert code == 405
        assert not [name for name in headers if name.lower().startswith("access-control")]


def test_the_page_asks_nobody_else(slow):
    with serving(slow.network()) as client:
        for path in ("/", "/page.js", "/page.css", "/icon.svg", "/about.json"):
            code, headers, content = client.ask("GET", path)
            assert code == 200
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            text = content.decode("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
            assert "//" not in text.replace("// ", "")
        # Errors, too.
        assert "default-src 'none'" in client.ask("GET", "/x")[1]["Content-Security-Policy"]
