"""The ASGI application: TensorFlow Serving's and OpenAI's forms, streams of texts, the page."""

import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mdnn.serving.openai.openai_forms import OpenAIForms, model_object
from mdnn.serving.openai.parameters import checked_model
from mdnn.serving.requests.request_limits import BAD, FAILED, NOT_FOUND, RefusalError
from mdnn.serving.server.api_key import ApiKey
from mdnn.serving.server.guard import Guard
from mdnn.serving.server.tool_routes import ToolRoutes
from mdnn.tokens.modalities import item_kinds, modality

# As TensorFlow Serving's http_rest_api_util.cc has them, but for labels, which nothing here has.
ASKED = re.compile(r"models/([^/:]+)(?:/versions/(\d+))?:(\w+)")
SHOWN = re.compile(r"models(?:/([^/:]+))?(?:/versions/(\d+))?(/metadata)?")

VERBS = ("predict", "stream", "chunks")
"""Verbs after the name of a network in an address; methods of `ModelForms`."""

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "conversation.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of the page at `/` and their media types."""


class App:
    """ASGI application that serves one network or several.

    Args:
        models: dict from names in addresses to `mdnn.serving.server.model_forms.ModelForms`; the
            first one is what the page shows at first.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
        hosts: names that the header Host may have; `None`: any.
        origins: origins of other pages that may ask.
        api_key: str, the key that requests must have; `None`: none.
        toolbox: `mdnn.tools.toolbox.Toolbox` of the tools that the page may run; `None`: none.
    """

    def __init__(self, models, limits, hosts=None, origins=(), api_key=None, toolbox=None):
        self.models, tools = models, ToolRoutes(toolbox, limits)
        self.openai = OpenAIForms(models, limits)
        self.facts = {
            "models": list(models),
            "limits": {"prompt": limits.prompt, "length": limits.length, "body": limits.body},
            "mime": {kind: modality(kind).mime for kind in item_kinds()},
            "key": api_key is not None,
            "tools": tools.about(),
        }
        self.asgi = Starlette(
            routes=[
                *self.openai.routes(),
                *tools.routes(),
                Route("/v1/{path:path}", self.rest, methods=["GET", "POST"]),
                Route("/about.json", self.about),
                *(_page_route(*page) for page in PAGE_FILES.items()),
            ],
            exception_handlers={
                RefusalError: lambda _, error: _error(error.status, str(error)),
                HTTPException: lambda _, error: _error(
                    error.status_code, error.detail, error.headers
                ),
                ClientDisconnect: lambda *_: Response(status_code=BAD),
                Exception: lambda *_: _error(FAILED, "internal error"),
            },
            middleware=[
                Middleware(Guard, hosts=hosts, origins=origins),
                Middleware(ApiKey, key=api_key),
            ],
        )

    async def __call__(self, scope, receive, send):
        await self.asgi(scope, receive, send)

    async def about(self, request):
        """Returns what the page has to know of the network that `?model=` names, or the first."""
        name = request.query_params.get("model", self.facts["models"][0])
        return JSONResponse(self.facts | self._find(name).about())

    async def rest(self, request):
        """Answers what lies under `/v1/`."""
        path = request.path_params["path"]
        asked, shown = ASKED.fullmatch(path), SHOWN.fullmatch(path)
        if request.method == "POST" and asked:
            name, version, verb = asked.groups()
            if verb in VERBS:
                return await getattr(self._find(name, version), verb)(request)
        elif request.method in ("GET", "HEAD") and (own := self._with_identity(path)):
            return JSONResponse(model_object(own))
        elif request.method in ("GET", "HEAD") and shown and shown[1]:
            name, version, metadata = shown.groups()
            model = self._find(name, version)
            # Clients of OpenAI's API always send a key, and those of TensorFlow Serving none.
            if request.headers.get("authorization") and not version and not metadata:
                return JSONResponse(model_object(name))
            return JSONResponse(model.metadata() if metadata else model.status())
        raise RefusalError(BAD, f"Malformed request: {request.method} {request.url.path[:200]}")

    def _with_identity(self, path):
        """Returns the model `NAME:IDENTITY` that a path names, or `None` for another path."""
        name, models = path.removeprefix("models/"), self.openai.models
        if name == path or ":" not in name or models.keys() == self.models.keys():
            return None
        return checked_model({"model": name}, models)

    def _find(self, name, version=None):
        """Returns the `ModelForms` of a name and a version; `None`: the only one."""
        model = self.models.get(name)
        if model is None or version not in (None, model.network.version):
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RefusalError(NOT_FOUND, f"Servable not found for request: {which[:200]}")
        return model


def _error(status, message, headers=None):
    return JSONResponse({"error": message}, status, headers)


def _page_route(name, kind):
    """Returns the route of a file of the page, which is read once."""
    content = (PAGE / name).read_bytes()

    async def answer(_):
        return Response(content, media_type=kind)

    return Route("/" if name == "index.html" else f"/{name}", answer)
