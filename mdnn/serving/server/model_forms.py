"""One network in TensorFlow Serving's forms, and its texts as streams."""

import json

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from mdnn.errors import MdnnError
from mdnn.serving.requests.json_tensors import answer_json, parse_body, read_request, tensor
from mdnn.serving.requests.request_limits import BAD, RefusalError
from mdnn.serving.requests.request_reading import NO_BUFFERS, RequestReader
from mdnn.serving.requests.request_validation import as_job, check_identities
from mdnn.serving.server.served_model import GENERATE, WITH_IDENTITY
from mdnn.serving.server.waiting import Waiting

# Keys of a `:stream` request and their defaults; `prompt` has none.
SETTINGS = {"prompt": None, "length": 400, "temperature": 0.8, "seed": 0}


class ModelForms:
    """Answers the requests that name one network.

    Args:
        network: `mdnn.serving.server.served_model.ServedModel`.
        name: str, the model's name in addresses.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
        batcher: `mdnn.serving.server.batcher.Batcher` that runs the network.
    """

    def __init__(self, network, name, limits, batcher):
        self.network, self.name, self.limits, self.batcher = network, name, limits, batcher
        self.reader = RequestReader(limits)
        self.written = WITH_IDENTITY if network.identities else GENERATE
        self.settings = SETTINGS | self.written.defaults

    def about(self):
        """Returns the page's description of the network, a dict."""
        network, name = self.network, self.name
        return {
            "name": name,
            "version": network.version,
            "signatures": {key: sorted(own.inputs) for key, own in network.signatures.items()},
            "stream": f"/v1/models/{name}:stream" if network.write else None,
            "predict": f"/v1/models/{name}:predict",
            "settings": SETTINGS,
            "identities": list(network.identities),
            "completions": "/v1/completions" if network.completions else None,
            "chunks": f"/v1/models/{name}:chunks" if network.chunks else None,
            "chat": False,
            **network.about,
        }

    def status(self):
        """Returns the state of the network as TensorFlow Serving writes it, a dict."""
        status = {"error_code": "OK", "error_message": ""}
        one = {"version": self.network.version, "state": "AVAILABLE", "status": status}
        return {"model_version_status": [one]}

    def metadata(self):
        """Returns the signatures as TensorFlow Serving writes them, a dict."""
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
                # The client has disconnected.
                return Response(status_code=BAD)
            text = await run_in_threadpool(answer_json, outputs, rows)
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
            body = parse_body(await self.reader.body(request))
        if unknown := sorted(body.keys() - self.settings.keys()):
            raise RefusalError(
                BAD, f"unknown key {unknown[0][:80]!r}; known: {', '.join(self.settings)}"
            )
        if "prompt" not in body:
            raise RefusalError(BAD, "prompt: expected a string, received none")
        inputs = {
            name: tensor(name, [value], self.written.inputs[name])
            for name, value in (self.settings | body).items()
        }
        waiting = self._submitted(self.written, inputs, write=True)
        return StreamingResponse(
            self._events(waiting, end), media_type="text/event-stream", headers=NO_BUFFERS
        )

    async def chunks(self, request):
        """Answers with the chunks into which the network cuts a text.

        The body is `{"text": ...}`; the answer has `chunks`, a list of texts, and `strength`, how
        strongly each cut is wanted, from 0 to 1.
        """
        if self.network.chunks is None:
            raise RefusalError(BAD, "this network does not cut texts into chunks")
        async with self.reader.in_time(self.reader.end()):
            body = parse_body(await self.reader.body(request))
            text = body.get("text")
            if body.keys() != {"text"} or not isinstance(text, str):
                raise RefusalError(BAD, "expected an object of text")
            if len(text) > (most := self.limits.prompt + self.limits.length):
                raise RefusalError(BAD, f"text: expected at most {most} characters (--max-prompt)")
            try:
                chunks, strength = await run_in_threadpool(self.network.chunks, text)
            except MdnnError as error:
                raise RefusalError(BAD, str(error)) from None
        return JSONResponse({"chunks": chunks, "strength": strength})

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
