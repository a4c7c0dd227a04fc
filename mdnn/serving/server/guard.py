"""Checks the headers of every request and sets those of every answer."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response

from mdnn.errors import MdnnError

PORTS = {"http": ":80", "https": ":443"}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Content-Type, Content-Encoding, Authorization",
    "Access-Control-Max-Age": "600",
}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

# Allows nothing from other origins and nothing inline: generated text cannot become a script.
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
    """Refuses requests that a foreign web page may have sent.

    A page whose name is made to lead to 127.0.0.1 (DNS rebinding) has its own name in the header
    Host; a page that posts to another address has its own in Origin. Origins that are named may
    ask and read the answers (CORS); nothing is said to others.

    Args:
        app: an ASGI application.
        hosts: names that Host may have, without the port; `None`: any.
        origins: other origins that may ask, as `checked_origin` writes them.
    """

    def __init__(self, app, hosts, origins=()):
        self.app, self.hosts, self.origins = app, hosts, tuple(origins)

    async def __call__(self, scope, receive, send):
        received = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = received.get("origin")
        named = origin is not None and _normal_origin(origin) in self.origins

        async def answer(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if named and not error:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers.add_vary_header("Origin")
            await send(message)

        app, error = self.app, None
        if scope["type"] == "http" and (error := self._error(received, named)):
            app = JSONResponse({"error": error}, 403)
        elif named and scope["method"] == "OPTIONS":
            # A browser's question before a page of another origin may post.
            app = Response(status_code=204, headers=PREFLIGHT)
        await app(scope, receive, answer)

    def _error(self, headers, named):
        host = headers.get("host", "")
        name = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]+)?", host)
        if self.hosts is not None and (name is None or name[1].lower() not in self.hosts):
            return (
                f"Host: expected {' or '.join(self.hosts)}, received {host[:80]!r} "
                "(mdnn serve --allow-host)"
            )
        origin = headers.get("origin")
        if origin is not None and not named and _netloc(origin) != host.lower():
            return (
                f"Origin: expected this server's own, received {origin[:80]!r} "
                "(mdnn serve --allow-origin)"
            )
        return None


def _netloc(origin):
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _normal_origin(origin):
    """Returns an origin in lower case without the default port, or `None` if it is invalid."""
    found = re.fullmatch(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", origin.lower())
    if found is None:
        return None
    scheme, name, port = found.groups()
    return f"{scheme}://{name}{'' if port == PORTS[scheme] else port or ''}"


def checked_origin(origin):
    """Returns an origin as browsers write it.

    Args:
        origin: a text such as `https://write.example.org` or `http://localhost:8888`.

    Raises:
        MdnnError: anything else, `*` and `null` among it.
    """
    if (found := _normal_origin(origin)) is None:
        raise MdnnError(
            f"allow-origin: expected an origin such as https://write.example.org, received "
            f"{origin!r}"
        )
    return found


def checked_host(host):
    """Returns a host's name in lower case.

    Args:
        host: a name such as `write.example.org`, or an address, without scheme and port.

    Raises:
        MdnnError: anything else, `*` among it.
    """
    name = host.lower()
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    if not re.fullmatch(r"\[[0-9a-f:]+[0-9a-f:.]*\]|[a-z0-9._-]+", name):
        raise MdnnError(f"allow-host: expected a name such as write.example.org, received {host!r}")
    return name


def hosts_of(host, allowed=()):
    """Returns the host names that the Host header may contain.

    Args:
        host: the address or name that the server is bound to, as given to the command.
        allowed: other names, as `checked_host` writes them.

    Returns:
        Tuple of names; `None` for any name: a server that other computers reach, unless names are
        allowed.
    """
    name = f"[{host}]" if ":" in host else host.lower()
    here = name in LOOPBACK or re.fullmatch(r"127(\.[0-9]+){3}", name)
    if not here and not allowed:
        return None
    return tuple(dict.fromkeys((*LOOPBACK, name, *allowed)))
