"""The parameters of OpenAI's requests: which are supported, their types and limits."""

import dataclasses
import numbers
import secrets

from mdnn.errors import did_you_mean, shown
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.options.option_words import MAX_ALTERNATIVES
from mdnn.generation.options.token_offsets import MAX_PENALTY
from mdnn.serving.requests.request_limits import BAD, NOT_FOUND, RefusalError

MAX_STOPS = 4
"""Largest number of stop texts, as in OpenAI's API."""

MAX_STOP = 1000
"""Largest number of characters of a stop text."""

MAX_CHOICES = 128
"""Largest `n`, as in OpenAI's API; the limits of the server may be lower."""


class ApiError(RefusalError):
    """A refusal that names the parameter.

    Args:
        message: str, one line.
        param: str, the name of the parameter, or `None`.
        code: str, a word for programs, or `None`.
        status: int, the HTTP status.
    """

    def __init__(self, message, param=None, code=None, status=BAD):
        super().__init__(status, message)
        self.param, self.code = param, code


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a request.

    Args:
        kind: type or tuple of types of its values.
        least, most: limits of a number, or `None`.
        only: the only value that is supported, of parameters that change nothing here.
        why: str, of an unsupported parameter, what is to be done instead.
    """

    kind: object
    least: float | None = None
    most: float | None = None
    only: tuple = ()
    why: str = ""

    def check(self, name, value):
        """Returns a value, or refuses it with `ApiError`."""
        if self.only:
            if value not in self.only:
                raise ApiError(
                    f"{name}: expected {' or '.join(map(repr, self.only))}, received "
                    f"{shown(value)}; it is not supported{self.why}",
                    name,
                    "unsupported_value",
                )
            return value
        numeric = self.kind in (numbers.Real, numbers.Integral)
        if not isinstance(value, self.kind) or (numeric and isinstance(value, bool)):
            raise ApiError(
                f"{name}: expected {_NAMES.get(self.kind, 'another type')}, received "
                f"{shown(value)}",
                name,
                "invalid_type",
            )
        # Not the other way about, which lets NaN pass.
        if numeric and not (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        ):
            raise ApiError(
                f"{name}: expected {self.least} to {self.most}, received {shown(value)}",
                name,
                "invalid_value",
            )
        return value


_NAMES = {
    bool: "true or false",
    str: "a string",
    dict: "an object",
    list: "a list",
    numbers.Real: "a number",
    numbers.Integral: "a whole number",
    (str, list): "a string or a list of strings",
    (str, dict): "a string or an object",
}

_SHARED = {
    "model": Parameter(str),
    "temperature": Parameter(numbers.Real, 0, 100),
    "top_p": Parameter(numbers.Real, 0, 1),
    # mdnn's own; OpenAI's client sends it as `extra_body`.
    "top_k": Parameter(numbers.Integral, 0, 2**31 - 1),
    "n": Parameter(numbers.Integral, 1, MAX_CHOICES),
    "seed": Parameter(numbers.Integral, -(2**63), 2**63 - 1),
    "stop": Parameter((str, list)),
    "stream": Parameter(bool),
    "stream_options": Parameter(dict),
    "user": Parameter(str),
    "response_format": Parameter(dict),
    "presence_penalty": Parameter(numbers.Real, -MAX_PENALTY, MAX_PENALTY),
    "frequency_penalty": Parameter(numbers.Real, -MAX_PENALTY, MAX_PENALTY),
    "logit_bias": Parameter(dict),
}

COMPLETION = _SHARED | {
    "prompt": Parameter((str, list)),
    "max_tokens": Parameter(numbers.Integral, 0, 2**31 - 1),
    "logprobs": Parameter(numbers.Integral, 0, 5),
    "echo": Parameter(bool),
    "best_of": Parameter(None, only=(1,), why=": use n"),
    "suffix": Parameter(None, only=("",)),
}

CHAT = _SHARED | {
    "messages": Parameter(list),
    "max_tokens": Parameter(numbers.Integral, 1, 2**31 - 1),
    "max_completion_tokens": Parameter(numbers.Integral, 1, 2**31 - 1),
    "logprobs": Parameter(bool),
    "top_logprobs": Parameter(numbers.Integral, 0, MAX_ALTERNATIVES),
    "tools": Parameter(list),
    "tool_choice": Parameter((str, dict)),
    "parallel_tool_calls": Parameter(bool),
    "metadata": Parameter(dict),
    "store": Parameter(None, only=(False,)),
    "service_tier": Parameter(None, only=("auto", "default")),
    "modalities": Parameter(None, only=(["text"],)),
}


def checked(body, table, required):
    """Returns a request's parameters without those that are `null`.

    Args:
        body: dict, the JSON object of the request.
        table: dict from names to `Parameter`s, `COMPLETION` or `CHAT`.
        required: names of parameters that must be there.

    Raises:
        ApiError: an unknown or missing parameter, a wrong type, or a value out of range.
    """
    values = {}
    for name, value in body.items():
        if name not in table:
            raise ApiError(
                f"{name[:80]}: this parameter is not supported{did_you_mean(name, table)}; "
                f"supported: {', '.join(sorted(table))}",
                name[:80],
                "unsupported_parameter",
            )
        if value is not None:
            values[name] = table[name].check(name, value)
    for name in required:
        if name not in values:
            raise ApiError(f"{name}: this parameter is required", name, "missing_parameter")
    return values


def checked_model(values, names):
    """Returns the name of the model that a request names, and refuses others.

    Args:
        values: dict, checked parameters.
        names: iterable of str, the models that are served.
    """
    if values["model"] not in names:
        raise ApiError(
            f"model: expected {' or '.join(map(repr, names))}, received {shown(values['model'])}",
            "model",
            "model_not_found",
            NOT_FOUND,
        )
    return values["model"]


def stop_texts(values):
    """Returns the stop texts, a tuple of str."""
    stops = values.get("stop", [])
    stops = [stops] if isinstance(stops, str) else stops
    if len(stops) > MAX_STOPS or not all(
        isinstance(stop, str) and 0 < len(stop) <= MAX_STOP for stop in stops
    ):
        raise ApiError(
            f"stop: expected at most {MAX_STOPS} texts of 1 to {MAX_STOP} characters", "stop"
        )
    return tuple(stops)


def includes_usage(values):
    """Returns whether a stream ends with an event of the usage."""
    options = values.get("stream_options", {})
    if not values.get("stream") and "stream_options" in values:
        raise ApiError("stream_options: expected only with stream = true", "stream_options")
    for key, value in options.items():
        if key not in ("include_usage", "include_obfuscation") or not isinstance(value, bool):
            raise ApiError(f"stream_options.{key[:40]}: not supported", "stream_options")
    return options.get("include_usage", False)


def completion_requests(
    values, prompts, max_tokens, limits, stop, scores=None, biases=(), grammar=None
):
    """Returns the `CompletionRequest`s of a request, `n` for each prompt.

    Without `seed` each request has random ones; the choices of one prompt have seeds in a row.

    Args:
        values: dict, checked parameters.
        prompts: list of str.
        max_tokens: int.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
        stop: tuple of str.
        scores: int, how many alternatives to each token are reported beside its log-probability;
            `None`: no log-probabilities.
        biases: as returned by `mdnn.serving.openai.logit_bias.biases_of_request`.
        grammar: `mdnn.generation.completions.grammar_mask.GrammarTables`, or `None`.

    Raises:
        ApiError: more or longer choices than the limits of the server allow.
    """
    choices = values.get("n", 1)
    if not 1 <= choices * len(prompts) <= limits.rows:
        raise ApiError(
            f"n: expected at most {limits.rows} choices and prompts together (--max-batch), "
            f"received {choices * len(prompts)}",
            "n",
        )
    if max_tokens > limits.length:
        raise ApiError(
            f"max_tokens: expected at most {limits.length} (--max-length), received {max_tokens}",
            "max_tokens",
        )
    for prompt in prompts:
        _check_prompt(prompt, limits)
    seed = values["seed"] if "seed" in values else secrets.randbits(32)
    return [
        CompletionRequest(
            prompt,
            max_tokens,
            temperature=float(values.get("temperature", 1.0)),
            top_k=values.get("top_k", 0),
            # 0 is the likeliest alone; the sampler takes numbers above 0.
            top_p=max(float(values.get("top_p", 1.0)), 1e-6),
            seed=(seed + choice + 2**31) % 2**32 - 2**31,
            stop=stop,
            log_probabilities=scores is not None,
            alternatives=scores or 0,
            presence_penalty=float(values.get("presence_penalty", 0.0)),
            frequency_penalty=float(values.get("frequency_penalty", 0.0)),
            logit_bias=biases,
            grammar=grammar,
        )
        for prompt in prompts
        for choice in range(choices)
    ]


def _check_prompt(prompt, limits):
    if not isinstance(prompt, str):
        raise ApiError(
            "prompt: expected a string or a list of strings; token ids are not supported"
        )
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise ApiError("prompt: expected a string of Unicode characters", "prompt")
    if not prompt:
        raise ApiError("prompt: expected at least one character", "prompt")
    if len(prompt) > limits.prompt:
        raise ApiError(
            f"prompt: expected at most {limits.prompt} characters, received {len(prompt)} "
            "(--max-prompt)",
            "prompt",
            "context_length_exceeded",
        )
