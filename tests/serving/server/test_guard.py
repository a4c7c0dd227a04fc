"""Hosts and origins that are allowed by name, and compressed bodies: without a network."""

import asyncio
import gzip
import json
import pathlib
import re
import zlib

import pytest

from mdnn.errors import MdnnError

pytest.importorskip("starlette")

from mdnn.serving.requests.compression import decompress
from mdnn.serving.requests.request_limits import RefusalError
from mdnn.serving.server import guard as guard_module
from mdnn.serving.server.guard import Guard, checked_host, checked_origin, hosts_of


async def _app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(guard, method="POST", **headers):
    """The status, the headers and the error of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    asyncio.run(guard(scope, None, send))
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], head, json.loads(body or b"{}").get("error")


HERE = "127.0.0.1:8501"
PUBLIC = "https://write.example.org"


@pytest.fixture
def closed():
    return Guard(_app, hosts_of("127.0.0.1"))


@pytest.fixture
def behind_proxy():
    host, origin = checked_host("Write.Example.Org"), checked_origin(PUBLIC + ":443")
    return Guard(_app, hosts_of("127.0.0.1", [host]), [origin])


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HERE, "origin": PUBLIC},
        {"host": "write.example.org", "origin": PUBLIC},
        {"host": "write.example.org:443", "origin": PUBLIC},
        {"host": "write.example.org"},
        {"host": HERE},
        {"host": "localhost:8501", "origin": "http://localhost:8501"},
    ],
)
def test_behind_a_proxy(behind_proxy, closed, headers):
    status, head, error = ask(behind_proxy, **headers)
    assert (status, error) == (200, None)
    # Only pages of the named origin may read what another origin answers.
    named = headers.get("origin") == PUBLIC
    assert head.get("access-control-allow-origin") == (PUBLIC if named else None)
    assert head["content-security-policy"].startswith("default-src 'none'")
    strange = "example" in headers["host"] or "example" in headers.get("origin", "")
    assert ask(closed, **headers)[0] == (403 if strange else 200)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HERE, "origin": "https://evil.example.org"},
        {"host": HERE, "origin": "http://write.example.org"},
        {"host": HERE, "origin": PUBLIC + ":8443"},
        {"host": HERE, "origin": PUBLIC + ".evil.org"},
        {"host": HERE, "origin": "null"},
        {"host": HERE, "origin": "*"},
        {"host": "evil.example.org"},
        {"host": "write.example.org.evil.org", "origin": PUBLIC},
        {"host": "sub.write.example.org"},
        {"host": ""},
    ],
)
def test_everything_else_stays_refused(behind_proxy, headers):
    status, head, error = ask(behind_proxy, **headers)
    assert status == 403
    assert error.startswith(("Host: expected", "Origin: expected"))
    assert "mdnn serve --allow-" in error
    assert "access-control-allow-origin" not in head


def test_a_browsers_question_before_it_posts(behind_proxy, closed):
    status, head, _ = ask(behind_proxy, "OPTIONS", host=HERE, origin=PUBLIC)
    assert status == 204
    assert head["access-control-allow-methods"] == "GET, POST"
    assert head["access-control-allow-origin"] == PUBLIC
    assert ask(closed, "OPTIONS", host=HERE, origin=PUBLIC)[0] == 403


def test_the_page_asks_below_its_own_path():
    """A notebook's proxy puts the server below a path such as `/user/me/proxy/8501/`."""
    page = pathlib.Path(guard_module.__file__).parent / "page"
    html = (page / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="(/?)', html)) == {""}
    scripts = [path.read_text(encoding="utf-8") for path in sorted(page.glob("*.js"))]
    asked = [call for script in scripts for call in re.findall(r"fetch\((\w+)", script)]
    assert asked == ["here"] * 2


def test_hosts():
    assert hosts_of("0.0.0.0") is None
    assert set(hosts_of("0.0.0.0", ["a.org"])) == {
        "localhost",
        "127.0.0.1",
        "[::1]",
        "0.0.0.0",
        "a.org",
    }
    assert checked_host("::1") == "[::1]"
    assert checked_host("a-b.example.org") == "a-b.example.org"
    for wrong in ("*", "*.example.org", "https://a.org", "a.org:80", "a.org/", "", "a b", "ä.org"):
        with pytest.raises(MdnnError, match="allow-host: expected a name"):
            checked_host(wrong)


def test_origins():
    assert checked_origin("HTTP://LocalHost:8888") == "http://localhost:8888"
    assert checked_origin("http://a.org:80") == "http://a.org"
    assert checked_origin("https://[::1]:8443") == "https://[::1]:8443"
    for wrong in ("*", "null", "a.org", "https://a.org/", "ftp://a.org", "https://*.a.org", ""):
        with pytest.raises(MdnnError, match="allow-origin: expected an origin"):
            checked_origin(wrong)


BODY = b'{"instances": [1, 2, 3]}' * 10


def test_compressed_bodies():
    assert decompress(BODY, "", 9) is BODY
    for encoding, data in (
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        (" X-GZIP", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
        ("deflate", zlib.compress(BODY)),
    ):
        assert decompress(data, encoding, len(BODY)) == BODY
    assert decompress(b"", "gzip", 9) == b""


@pytest.mark.parametrize(
    ("data", "encoding", "status", "said"),
    [
        (BODY, "br", 415, "expected gzip, deflate or identity, received 'br'"),
        (BODY, "gzip, gzip", 415, "received 'gzip, gzip'"),
        (BODY, "gzip", 400, "the body is not gzip"),
        (gzip.compress(BODY)[:-9], "gzip", 400, "it is cut off"),
        (gzip.compress(BODY) + b"more", "gzip", 400, "the body is not gzip"),
        (gzip.compress(BODY), "deflate", 400, "the body is not deflate"),
        (gzip.compress(bytes(50_000_000)), "gzip", 413, "more than 240 bytes when unpacked"),
        (gzip.compress(BODY) * 2, "gzip", 413, "more than 240 bytes when unpacked"),
    ],
    ids=["br", "twice", "plain", "cut", "more", "other", "bomb", "members"],
)
def test_bodies_that_are_refused(data, encoding, status, said):
    with pytest.raises(RefusalError, match=said) as error:
        decompress(data, encoding, len(BODY))
    assert error.value.status == status
