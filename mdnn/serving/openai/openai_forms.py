"""OpenAI's forms: `/v1/models`, `/v1/completions` and `/v1/chat/completions`."""

import json
import time

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import PLAIN
from mdnn.serving.openai.chat_requests import read_chat
from mdnn.serving.openai.completion_answers import ChatAnswer, TextAnswer
from mdnn.serving.openai.grammars import check_length, response_schema, text_grammar
from mdnn.serving.openai.logit_bias import biases_of_request
from mdnn.serving.openai.parameters import (
    CHAT,
    COMPLETION,
    ApiError,
    checked,
    checked_model,
    completion_requests,
    includes_usage,
    stop_texts,
)
from mdnn.serving.requests.json_tensors import parse_body
from mdnn.serving.requests.request_limits import BAD, FAILED, RefusalError
from mdnn.serving.requests.request_reading import NO_BUFFERS, RequestReader
from mdnn.serving.server.batcher import Job
from mdnn.serving.server.served_model import COMPLETE
from mdnn.serving.server.waiting import Waiting

DEFAULT_TOKENS = 16
"""`max_tokens` of a completion that does not say it, as in OpenAI's API."""

STARTED = int(time.time())


def model_object(name):
    """Returns a model as OpenAI's API describes it, a dict."""
    return {"id": name, "object": "model", "created": STARTED, "owned_by": "mdnn"}


class OpenAIForms:
    """Answers requests in OpenAI's forms.

    A network is a model, and with each of its identities another one, `NAME:IDENTITY`.

    Args:
        models: dict from names to `mdnn.serving.server.model_forms.ModelForms`.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.

    Attributes:
        models: dict from the names of models to pairs of a `ModelForms` and an identity.
    """

    def __init__(self, models, limits):
        self.models, self.limits = {}, limits
        for name, model in models.items():
            self.models[name] = model, ""
            for identity in model.network.identities:
                self.models[f"{name}:{identity}"] = model, identity
        self.reader = RequestReader(limits)

    def routes(self):
        """Returns the routes of the forms, a list."""
        return [
            Route("/v1/models", self.list_models, methods=["GET"]),
            Route("/v1/completions", self._in_form(self.complete), methods=["POST"]),
            Route("/v1/chat/completions", self._in_form(self.chat), methods=["POST"]),
        ]

    async def list_models(self, _):
        """Lists the models."""
        return JSONResponse({"object": "list", "data": list(map(model_object, self.models))})

    def _in_form(self, answer):
        """Returns an endpoint whose refusals are in OpenAI's form."""

        async def endpoint(request):
            end = self.reader.end()
            try:
                async with self.reader.in_time(end):
                    body = parse_body(await self.reader.body(request))
                return await answer(request, body, end)
            except ClientDisconnect:
                return Response(status_code=BAD)
            except (RefusalError, MdnnError) as error:
                status = getattr(error, "status", BAD)
                return JSONResponse({"error": error_object(error)}, status)

        return endpoint

    async def complete(self, request, body, end):
        """Answers `/v1/completions`."""
        values = checked(body, COMPLETION, ("model", "prompt"))
        model, identity = self._model(values)
        prompts = values["prompt"]
        prompts = [prompts] if isinstance(prompts, str) else prompts
        most = values.get("max_tokens", min(DEFAULT_TOKENS, self.limits.length))
        stop, form = stop_texts(values), response_schema(values)
        if form:
            stop = stop or ("\n",)
        # To make a grammar takes a while, which others do not have to wait.
        grammar = await run_in_threadpool(text_grammar, model.network, form, (*stop, "")[0])
        check_length(grammar, most)
        biases = biases_of_request(values, model.network.completions)
        requests = completion_requests(
            values, prompts, most, self.limits, stop, values.get("logprobs"), biases, grammar
        )
        answer = TextAnswer(values["model"], requests, _prompt_tokens(model, prompts))
        answer.echo = values.get("echo", False)
        _give(requests, identity)
        return await self._answered(request, model, requests, answer, values, end)

    async def chat(self, request, body, end):
        """Answers `/v1/chat/completions`."""
        values = checked(body, CHAT, ("model", "messages"))
        model, identity = self._model(values)
        conversation = await run_in_threadpool(read_chat, values, model.network, self.limits)
        tokens = _prompt_tokens(model, [conversation.prompt])
        answer = ChatAnswer(values["model"], conversation, tokens)
        _give(conversation.requests, identity)
        return await self._answered(request, model, conversation.requests, answer, values, end)

    def _model(self, values):
        """Returns the `ModelForms` that a request names, and the identity."""
        model, identity = self.models[checked_model(values, self.models)]
        if model.network.completions is None:
            raise ApiError("this network does not continue texts", "model")
        return model, identity

    async def _answered(self, request, model, requests, answer, values, end):
        """Submits requests and returns their answer, whole or as a stream."""
        stream, usage = values.get("stream", False), includes_usage(values)
        variant = requests[0].variant
        if not model.network.completions.variants and variant != PLAIN:
            raise ApiError(
                "top_p, top_k, logprobs, presence_penalty, frequency_penalty: not supported by a "
                "SavedModel; serve the run folder",
                "top_p",
                "unsupported_parameter",
            )
        # A short answer does not wait for a long one: none is twice as long as another.
        key = (COMPLETE, variant, requests[0].max_tokens.bit_length())
        waiting = Waiting(lambda tell: Job(key, {"requests": requests}, len(requests), tell))
        model.batcher.submit(waiting.job)
        if stream:
            events = self._events(waiting, answer, usage, end)
            return StreamingResponse(events, media_type="text/event-stream", headers=NO_BUFFERS)
        with waiting:
            async with self.reader.in_time(end):
                if not await waiting.collect(request.receive, answer.add):
                    # The client has disconnected.
                    return Response(status_code=BAD)
        return JSONResponse(answer.whole())

    async def _events(self, waiting, answer, usage, end):
        """Yields the server-sent events of a stream, bytes."""
        with waiting:
            try:
                for chunk in answer.begin():
                    yield _event(chunk)
                while True:
                    async with self.reader.in_time(end):
                        pieces = await waiting.piece()
                    if pieces is None:
                        break
                    for chunk in answer.chunks(pieces):
                        yield _event(chunk)
                for chunk in answer.end(usage):
                    yield _event(chunk)
                yield b"data: [DONE]\n\n"
            except RefusalError as error:
                yield _event({"error": error_object(error)})


def _give(requests, identity):
    for request in requests:
        request.identity = identity


def _prompt_tokens(model, prompts):
    return sum(map(model.network.completions.count, prompts))


def error_object(error):
    """Returns an error as OpenAI's API writes it, a dict."""
    server = getattr(error, "status", BAD) >= FAILED
    return {
        "message": str(error),
        "type": "server_error" if server else "invalid_request_error",
        "param": getattr(error, "param", None),
        "code": getattr(error, "code", None),
    }


def _event(chunk):
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
