"""The ASGI application: TensorFlow Serving's and OpenAI's forms, streams of texts, the page."""

import json
import re
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mdnn.serving.openai.openai_forms import OpenAIForms, model_object
from mdnn.serving.server.api_key import ApiKey
from mdnn.serving.server.guard import Guard
from mdnn.serving.server.json_tensors import parse, read_request, tensor, write_answer
from mdnn.serving.server.request_limits import (
    BAD,
    FAILED,
    NOT_FOUND,
    RefusalError,
)
from mdnn.serving.server.request_reading import NO_BUFFERS, RequestReader
from mdnn.serving.server.request_validation import as_job, check_identities
from mdnn.serving.server.served_model import GENERATE, WITH_IDENTITY
from mdnn.serving.server.tool_routes import ToolRoutes
from mdnn.serving.server.waiting import Waiting
from mdnn.tokens.modalities import item_kinds, modality

# What `:stream` takes, which is mdnn's own, and what it takes where nothing is said.
SETTINGS = {"prompt": None, "length": 400, "temperature": 0.8, "seed": 0}

# As TensorFlow Serving's http_rest_api_util.cc has them, but for labels, which nothing here has.
ASKED = re.compile(r"models/([^/:]+)(?:/versions/(\d+))?:(\w+)")
SHOWN = re.compile(r"models(?:/([^/:]+))?(?:/versions/(\d+))?(/metadata)?")

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
    """The application of one network; call it as ASGI has it.

    Args:
        network: `mdnn.serving.server.served_model.ServedModel`.
        name: str, the model's name in addresses.
        limits: `mdnn.serving.server.request_limits.RequestLimits`.
        batcher: `mdnn.serving.server.batcher.Batcher` that runs the network.
        hosts: names that the header Host may have; `None`: any.
        origins: origins of other pages that may ask.
        api_key: str, the key that requests must have; `None`: none.
        toolbox: `mdnn.tools.toolbox.Toolbox` of the tools that the page may run; `None`: none.
    """

    def __init__(
        self, network, name, limits, batcher, hosts=None, origins=(), api_key=None, toolbox=None
    ):
        self.network, self.name, self.limits, self.batcher = network, name, limits, batcher
        self.reader, tools = RequestReader(limits), ToolRoutes(toolbox, limits)
        self.written = WITH_IDENTITY if network.identities else GENERATE
        self.settings = SETTINGS | ({"identity": ""} if network.identities else {})
        self.facts = {
            "name": name,
            "version": network.version,
            "signatures": {key: sorted(own.inputs) for key, own in network.signatures.items()},
            "stream": f"/v1/models/{name}:stream" if network.write else None,
            "predict": f"/v1/models/{name}:predict",
            "limits": {"prompt": limits.prompt, "length": limits.length, "body": limits.body},
            "settings": SETTINGS,
            "identities": list(network.identities),
            "mime": {kind: modality(kind).mime for kind in item_kinds()},
            "completions": "/v1/completions" if network.completions else None,
            "key": api_key is not None,
            "chat": False,
            "tools": tools.about(),
            **network.about,
        }
        self.asgi = Starlette(
            routes=[
                *OpenAIForms(network, name, limits, batcher).routes(),
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

    async def about(self, _):
        """Returns what the page has to know of the network."""
        return JSONResponse(self.facts)

    async def rest(self, request):
        """Answers what lies under `/v1/`."""
        path = request.path_params["path"]
        asked, shown = ASKED.fullmatch(path), SHOWN.fullmatch(path)
        if request.method == "POST" and asked:
            name, version, verb = asked.groups()
            verbs = {"predict": self.predict, "stream": self.stream}
            if verb in verbs:
                self._find(name, version)
                return await verbs[verb](request)
        elif request.method in ("GET", "HEAD") and shown and shown[1]:
            name, version, metadata = shown.groups()
            self._find(name, version)
            # Clients of OpenAI's API always send a key, and those of TensorFlow Serving none.
            if request.headers.get("authorization") and not version and not metadata:
                return JSONResponse(model_object(name))
            return JSONResponse(self._metadata() if metadata else self._status())
        raise RefusalError(BAD, f"Malformed request: {request.method} {request.url.path[:200]}")

    def _find(self, name, version):
        if name != self.name or version not in (None, self.network.version):
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RefusalError(NOT_FOUND, f"Servable not found for request: {which[:200]}")

    def _status(self):
        status = {"error_code": "OK", "error_message": ""}
        one = {"version": self.network.version, "state": "AVAILABLE", "status": status}
        return {"model_version_status": [one]}

    def _metadata(self):
        spec = {"name": self.name, "signature_name": "", "version": self.network.version}
        tables = {name: own.metadata() for name, own in self.network.signatures.items()}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": tables}}}

    async def predict(self, request):
        """Answers a request in TensorFlow Serving's form."""
        async with self.reader.in_time(self.reader.end()):
            body = await self.reader.body(request)
            # A large one takes a while, which others do not have to wait.
            signature, inputs, rows = await run_in_threadpool(
                read_request, body, self.network.signatures
            )
            # Where there is no function for whole texts, they are put together from pieces.
            write = self.network.functions[signature.name] is None
            with self._submitted(signature, inputs, write) as waiting:
                outputs = await waiting.outputs(request.receive)
            if outputs is None:
                # Nobody is there.
                return Response(status_code=BAD)
            text = await run_in_threadpool(write_answer, outputs, rows)
        return Response(text, media_type="application/json")

    async def stream(self, request):
        """Answers with a text as it is written, in server-sent events.

        The body is a JSON object of `prompt` and perhaps `length`, `temperature` and `seed`. Each
        event's data is a JSON object: `text`, more of the answer; or, the last one, an event
        `end` with `characters`, their number, or `error` with `error`.
        """
        end = self.reader.end()
        if self.network.write is None:
            raise RefusalError(BAD, "this network does not continue texts")
        async with self.reader.in_time(end):
            body = parse(await self.reader.body(request))
        if unknown := sorted(body.keys() - self.settings.keys()):
            raise RefusalError(
                BAD, f"unknown key {unknown[0][:80]!r}; known: {', '.join(self.settings)}"
            )
        if "prompt" not in body:
            raise RefusalError(BAD, "prompt: expected a text, received none")
        inputs = {
            name: tensor(name, [value], self.written.inputs[name])
            for name, value in (self.settings | body).items()
        }
        waiting = self._submitted(self.written, inputs, write=True)
        return StreamingResponse(
            self._events(waiting, end), media_type="text/event-stream", headers=NO_BUFFERS
        )

    async def _events(self, waiting, end):
        """Yields the events of a text that is written, bytes."""
        characters = 0
        with waiting:
            try:
                while (new := await self._before(end, waiting.piece())) is not None:
                    characters += len(new[0])
                    yield _event(None, {"text": new[0]})
                yield _event("end", {"characters": characters})
            except RefusalError as error:
                yield _event("error", {"error": str(error)})

    async def _before(self, end, found):
        async with self.reader.in_time(end):
            return await found

    def _submitted(self, signature, inputs, write):
        """Submits a request and returns its `Waiting`."""
        check_identities(inputs, self.network.identities)
        waiting = Waiting(lambda tell: as_job(signature, inputs, self.limits, tell, write))
        self.batcher.submit(waiting.job)
        return waiting


def _event(name, data):
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def _error(status, message, headers=None):
    return JSONResponse({"error": message}, status, headers)


def _page_route(name, kind):
    """Returns the route of a file of the page, which is read once."""
    content = (PAGE / name).read_bytes()

    async def answer(_):
        return Response(content, media_type=kind)

    return Route("/" if name == "index.html" else f"/{name}", answer)
