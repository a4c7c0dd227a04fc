"""Checks the API key of requests."""

import secrets

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

OPEN = ("/", "/page.css", "/page.js", "/conversation.js", "/icon.svg", "/about.json")
"""Addresses that need no key: the page, which asks the person for it."""


class ApiKey:
    """Refuses requests without the header `Authorization: Bearer KEY`.

    Args:
        app: an ASGI application.
        key: str; `None`: every request passes.
    """

    def __init__(self, app, key=None):
        self.app = app
        self.header = None if key is None else f"Bearer {key}".encode()

    async def __call__(self, scope, receive, send):
        app = self.app
        if self.header is not None and scope["type"] == "http" and scope["path"] not in OPEN:
            received = Headers(scope=scope).get("authorization", "").encode("latin-1")
            if not secrets.compare_digest(received, self.header):
                app = JSONResponse(
                    {
                        "error": {
                            "message": "expected the header Authorization: Bearer KEY with this "
                            "server's key (mdnn serve --api-key)",
                            "type": "invalid_request_error",
                            "param": None,
                            "code": "invalid_api_key",
                        }
                    },
                    401,
                    {"WWW-Authenticate": "Bearer"},
                )
        await app(scope, receive, send)
