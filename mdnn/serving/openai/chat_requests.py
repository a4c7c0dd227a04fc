"""Reads the requests of `/v1/chat/completions`."""

import dataclasses

from mdnn.chat.chat_layout import ChatFormat, fit_for_answer
from mdnn.chat.messages import parse_messages
from mdnn.serving.openai.grammars import chat_grammar, check_length, response_schema, tool_rules
from mdnn.serving.openai.logit_bias import biases_of_request
from mdnn.serving.openai.parameters import ApiError, completion_requests, stop_texts

DEFAULT_ANSWER = 1000
"""Tokens of an answer that does not say how many; the limits of the server may be lower."""


@dataclasses.dataclass
class ChatRequest:
    """A conversation to continue.

    Args:
        prompt: str, the conversation as the network reads it.
        dropped: int, messages that the context has no room for.
        chat_format: `ChatFormat` of the network.
        tools: list of `ToolSpec` that may be called; empty: calls are not interpreted.
        requests: list of `CompletionRequest`, one per choice.
    """

    prompt: str
    dropped: int
    chat_format: ChatFormat
    tools: list
    requests: list


def read_chat(values, network, limits):
    """Returns the `ChatRequest` of a request.

    Args:
        values: dict, the checked parameters of the request.
        network: `mdnn.serving.server.served_model.ServedModel`.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.

    Raises:
        ApiError: a parameter that is out of range or not supported.
        MdnnError: not such messages or tools, or the chat template refuses them.
    """
    messages = parse_messages(values["messages"])
    tools, must_call, most_calls = tool_rules(values)
    grammar = chat_grammar(network, response_schema(values), tools, must_call, most_calls)
    most = values.get("max_completion_tokens", values.get("max_tokens"))
    if most is None:
        most = min(DEFAULT_ANSWER, limits.length)
    check_length(grammar, most)
    chat_format, completions = network.chat_format, network.completions
    prompt, dropped = fit_for_answer(
        chat_format, messages, tools, completions.positions, completions.count, limits.prompt
    )
    stop = (chat_format.end, *stop_texts(values))
    biases = biases_of_request(values, completions)
    requests = completion_requests(
        values, [prompt], most, limits, stop, _scores(values), biases, grammar
    )
    return ChatRequest(prompt, dropped, chat_format, tools, requests)


def _scores(values):
    """Returns how many alternatives to each token are asked for; `None`: no log-probabilities."""
    count = values.get("top_logprobs")
    if values.get("logprobs", False):
        return count or 0
    if count:
        raise ApiError("top_logprobs: expected only with logprobs = true", "top_logprobs")
    return None
