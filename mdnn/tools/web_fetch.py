"""Fetches a page within limits of size, time and redirects."""

import contextlib
import http.client
import socket
import ssl
import time
import zlib
from dataclasses import dataclass
from urllib.parse import urljoin

from mdnn.tools.tool import ToolError
from mdnn.tools.web_addresses import check_address, resolve

MAX_BYTES = 2_000_000
"""Bytes of a page, before and after it is unpacked."""

MAX_SECONDS = 20.0
"""Seconds from the first request to the last byte, redirects included."""

MAX_REDIRECTS = 5
"""Redirects of one request; the address of each is checked again."""

KINDS = ("text/html", "application/xhtml+xml", "text/plain", "application/json", "text/markdown")
"""Media types that are read."""

HEADERS = {
    "User-Agent": "mdnn (a local assistant)",
    "Accept": "text/html, text/plain, application/json;q=0.9",
    "Accept-Encoding": "gzip, identity",
    "Connection": "close",
}


@dataclass(frozen=True)
class Page:
    """A fetched page.

    Args:
        url: str, the address of the last redirect.
        kind: str, its media type.
        body: bytes.
        charset: str, or an empty text if the headers do not say it.
    """

    url: str
    kind: str
    body: bytes
    charset: str = ""


def fetch(url, hosts, private=False, seconds=MAX_SECONDS):
    """Fetches a page by GET, without cookies or credentials.

    Args:
        url: str.
        hosts: `mdnn.tools.web_addresses.AllowedHosts`, also for redirects.
        private: bool, whether private addresses are allowed.
        seconds: float, the limit of time.

    Returns:
        `Page`.

    Raises:
        ToolError: an address that is not allowed, no answer in time, or one that is too large
            or of another kind.
    """
    end = time.monotonic() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        address = check_address(url, hosts)
        found = _request(address, resolve(address, private), end)
        if isinstance(found, Page):
            return found
        url = urljoin(address.url, found)
    raise ToolError(f"more than {MAX_REDIRECTS} redirects")


def fetch_address(address, private=False, seconds=MAX_SECONDS):
    """Fetches one address that the person has named, without redirects; see `fetch`.

    Args:
        address: `mdnn.tools.web_addresses.WebAddress`.
        private, seconds: see `fetch`.
    """
    found = _request(address, resolve(address, private), time.monotonic() + seconds)
    if isinstance(found, Page):
        return found
    raise ToolError(f"{address.host} redirects to another address")


def _request(address, places, end):
    """Returns the `Page` at an address, or a str, where it redirects to."""
    try:
        with contextlib.closing(_connected(address, places, end)) as connection:
            connection.request("GET", address.target, headers=HEADERS)
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                return response.headers.get("Location", "").strip() or _no_place()
            if response.status != 200:
                raise ToolError(f"{address.host} answered with status {response.status}")
            kind = response.headers.get_content_type()
            if kind not in KINDS:
                raise ToolError(f"expected a page of text, received {kind[:80]}")
            body = _body(response, connection.sock, end)
            return Page(address.url, kind, body, response.headers.get_content_charset() or "")
    except TimeoutError:
        raise ToolError(f"{address.host} did not answer in time") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "TLS failed"
        raise ToolError(f"{address.host}: {reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ToolError(f"{address.host} cannot be read: {type(error).__name__}") from None


def _no_place():
    raise ToolError("a redirect without an address")


def _connected(address, places, end):
    """Returns a connection to the first of the checked addresses that answers."""
    context = ssl.create_default_context() if address.scheme == "https" else None
    error = None
    for family, place in places[:4]:
        try:
            plain = socket.socket(family, socket.SOCK_STREAM)
        except OSError as reason:
            error = reason
            continue
        try:
            plain.settimeout(_left(end))
            plain.connect(place)
            if context is not None:
                plain = context.wrap_socket(plain, server_hostname=address.host)
            connection = http.client.HTTPConnection(address.host, address.port)
            connection.sock = plain
            return connection
        except OSError as reason:
            plain.close()
            error = reason
    raise error


def _left(end):
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _body(response, connection, end):
    """Reads a body within the limits, and unpacks it."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ToolError(f"the page has the unsupported encoding {encoding[:40]}")
    unpack = zlib.decompressobj(31) if "gzip" in encoding else None
    pieces, size, packed = [], 0, 0
    while True:
        if connection is not None and connection.fileno() >= 0:
            connection.settimeout(_left(end))
        _left(end)
        piece = response.read1(1 << 16)
        if not piece:
            break
        packed += len(piece)
        if unpack is not None:
            try:
                piece = unpack.decompress(piece, MAX_BYTES + 1 - size)
            except zlib.error:
                raise ToolError("the page is damaged") from None
        pieces.append(piece)
        size += len(piece)
        if max(size, packed) > MAX_BYTES:
            raise ToolError(f"the page has more than {MAX_BYTES:,} bytes")
    return b"".join(pieces)
