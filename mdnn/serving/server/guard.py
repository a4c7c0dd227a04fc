"""Checks the headers of every request and sets those of every answer."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

# Nothing from elsewhere, nothing inline: what a network writes cannot become part of the page.
# The network's pictures and sounds are `data:`.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses requests that a web page of somebody else's may have sent.

    A page whose name is made to lead to 127.0.0.1 (DNS rebinding) has its own name in the header
    Host; a page that posts to another address has its own in Origin. Nothing is said to other
    origins (no CORS).

    Args:
        app: an ASGI application.
        hosts: names that Host may have, without the port; `None`: any.
    """

    def __init__(self, app, hosts):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope, receive, send):
        async def answer(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        if scope["type"] == "http" and (error := self._error(Headers(scope=scope))):
            app = JSONResponse({"error": error}, 403)
        await app(scope, receive, answer)

    def _error(self, headers):
        host = headers.get("host", "")
        name = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]+)?", host)
        if self.hosts is not None and (name is None or name[1].lower() not in self.hosts):
            return f"Host: expected {' or '.join(self.hosts)}, received {host[:80]!r}"
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            return f"Origin: expected this server's own, received {origin[:80]!r}"
        return None


def _netloc(origin):
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def hosts_of(host):
    """Returns the names that Host may have at an address; `None`: any.

    Args:
        host: the address or name, as the command has it.
    """
    name = f"[{host}]" if ":" in host else host.lower()
    if name in LOOPBACK or re.fullmatch(r"127(\.[0-9]+){3}", name):
        return tuple(dict.fromkeys((*LOOPBACK, name)))
    return None
