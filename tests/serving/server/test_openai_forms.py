"""OpenAI's forms: its own client against a tiny network, streams, errors, keys, who goes away."""

import concurrent.futures
import functools
import http.client
import json
import math
import pathlib
import time

import keras
import pytest
from echo_network import STEP, AnswerFeedback
from serving_client import NAME, serving

import mdnn

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)
pytest.importorskip("openai")

import openai

from mdnn.serving.openai.parameters import CHAT, COMPLETION
from mdnn.serving.server.served_model import GENERATE, ServedModel
from mdnn.serving.server.served_models import open_served_run
from mdnn.tools.calculator import Calculator
from mdnn.tools.toolbox import Toolbox

pytestmark = pytest.mark.usefixtures("decoded_without_xla")
KEY, CLIENTS = "a-key", []
CHAT_PATH, TEXT_PATH = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(scope="module", autouse=True)
def closed_clients():
    yield
    for client in CLIENTS:
        client.close()


@pytest.fixture(scope="module")
def server(opened_tiny, completions_of_tiny):
    network = open_served_run(opened_tiny)
    network.completions = completions_of_tiny
    with serving(network, gather=20, length=300, prompt=500, key=KEY) as client:
        yield client


def client_of(server, key=KEY):
    address = f"http://127.0.0.1:{server.port}/v1"
    CLIENTS.append(openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=60))
    return CLIENTS[-1]


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


class Scripted:
    """A network that answers every prompt with one text."""

    def __init__(self, text):
        self.text, self.prompts = text, []

    def write(self, prompts, lengths, temperatures, seeds):
        self.prompts += prompts
        for start in range(0, max(lengths), STEP):
            yield [self.text[start : start + STEP] for _ in prompts]

    def network(self):
        return ServedModel("1", {"generate": (GENERATE, None)}, self.write)


def test_models(client):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == (NAME, "model", "mdnn")
    assert client.models.retrieve(NAME).id == NAME


def test_completions(client, opened_tiny):
    answer = client.completions.create(
        model=NAME, prompt=["The ", "Ça va"], max_tokens=30, temperature=0.8, seed=5, n=2
    )
    texts = [choice.text for choice in answer.choices]
    expected = [
        mdnn.generate(opened_tiny, prompt, length=30, temperature=0.8, seed=seed)
        for prompt in ("The ", "Ça va")
        for seed in (5, 6)
    ]
    assert texts == expected
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in answer.choices} == {"length"}
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 120, 129)
    # A stop text ends it before; a stream is the same.
    create = functools.partial(
        client.completions.create, model=NAME, prompt="The ", temperature=0, max_tokens=40
    )
    greedy = mdnn.generate(opened_tiny, "The ", length=40, temperature=0.0)
    stop = greedy[20:23]
    answer = create(stop=[stop, "never"], echo=True).choices[0]
    assert (answer.text, answer.finish_reason) == (f"The {greedy.partition(stop)[0]}", "stop")
    chunks = list(create(stop=stop, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].text for chunk in chunks[:-1])
    assert text == greedy.partition(stop)[0]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == len(text) + len(stop)
    assert create(max_tokens=0, prompt="a").choices[0].text == ""


def test_filters_and_log_probabilities(client):
    """The likeliest class alone is what greedy decoding takes; their probabilities are its."""
    create = functools.partial(
        client.completions.create, model=NAME, prompt="The ", max_tokens=20, logprobs=0
    )
    greedy = create(temperature=0).choices[0]
    assert create(top_p=0.0, seed=3).choices[0].text == greedy.text
    assert create(extra_body={"top_k": 1}, seed=4).choices[0].text == greedy.text
    scores = greedy.logprobs
    assert "".join(scores.tokens) == greedy.text
    assert scores.text_offset == list(range(20))
    assert all(-20 < score < 0 for score in scores.token_logprobs)
    # Of a trained network the likeliest characters are likely.
    assert sum(scores.token_logprobs) / 20 > -1.5


def test_the_likeliest_alternatives(client):
    """Greedily the chosen token is the likeliest one; they change no answer."""
    create = functools.partial(
        client.completions.create, model=NAME, prompt="The ", max_tokens=20, temperature=0
    )
    scores = create(logprobs=3).choices[0].logprobs
    for token, score, table in zip(
        scores.tokens, scores.token_logprobs, scores.top_logprobs, strict=True
    ):
        assert 3 <= len(table) <= 4
        assert table[token] == score
        assert next(iter(table.values())) == max(table.values())
        # Alternatives are what is left.
        assert sum(math.exp(one) for one in table.values()) < 1.0001
    chunks = [chunk.choices[0].logprobs for chunk in create(logprobs=3, stream=True)]
    tables = [table for one in chunks if one for table in one.top_logprobs]
    assert tables == [pytest.approx(table, abs=1e-4) for table in scores.top_logprobs]
    chat = functools.partial(client.chat.completions.create, model=NAME, messages=USER)
    answer = chat(temperature=1.5, seed=2, max_tokens=12, logprobs=True, top_logprobs=20)
    for one in answer.choices[0].logprobs.content:
        assert len(one.top_logprobs) == 20
        values = [other.logprob for other in one.top_logprobs]
        assert values == sorted(values, reverse=True)
        texts = {other.token: other.logprob for other in one.top_logprobs}
        assert texts.get(one.token, one.logprob) == pytest.approx(one.logprob, abs=1e-3)
        assert all(bytes(other.bytes).decode() == other.token for other in one.top_logprobs)
    plain = chat(temperature=1.5, seed=2, max_tokens=12)
    assert plain.choices[0].message.content == answer.choices[0].message.content


def test_penalties_and_biases(client):
    """Requests of one batch have their own."""
    create = functools.partial(
        client.completions.create, model=NAME, prompt="The ", max_tokens=24, temperature=0
    )
    plain = create().choices[0].text
    assert create(presence_penalty=0, logit_bias={}).choices[0].text == plain
    options = [
        {"logit_bias": {str(ord("a")): -100}},
        {"logit_bias": {str(ord("日")): 100}},
        {"frequency_penalty": 2, "presence_penalty": 2},
        {"frequency_penalty": -2},
    ]
    alone = [create(**one).choices[0].text for one in options]
    assert "a" in plain
    assert "a" not in alone[0]
    assert alone[1] == "日" * 24
    assert len(set(alone[2])) > len(set(plain))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: create(**one).choices[0].text, options))
    assert together == alone
    chunks = client.chat.completions.create(
        model=NAME, messages=USER, max_tokens=9, logit_bias={"233": 100}, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "é" * 9


def test_a_conversation(client, server):
    messages = [{"role": "user", "content": "The cat"}]
    create = functools.partial(
        client.chat.completions.create, model=NAME, temperature=0, max_tokens=25
    )
    answer = create(messages=messages, logprobs=True, seed=1)
    (choice,) = answer.choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert len(choice.message.content) == 25
    assert "".join(one.token for one in choice.logprobs.content) == choice.message.content
    messages += [choice.message.model_dump(exclude_none=True), {"role": "user", "content": "And?"}]
    second = create(messages=messages)
    assert second.usage.completion_tokens == 25
    # Eight positions hold no two turns: what is dropped is said.
    assert second.model_extra["mdnn"] == {"dropped_messages": 2}
    chunks = list(create(messages=messages, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == second.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "length"


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}},
                "required": ["a"],
            },
        },
    }
]
CALL = '{"name": "add", "arguments": {"a": 12}}'


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call(stream):
    network = Scripted(f"Wait. \x1d{CALL}\x1e and more")
    with serving(network.network()) as server:
        answer = client_of(server).chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "6 + 6?"}], tools=TOOLS, stream=stream
        )
        if stream:
            deltas = [chunk.choices[0] for chunk in answer]
            content = "".join(one.delta.content or "" for one in deltas)
            calls = [call for one in deltas for call in one.delta.tool_calls or []]
            finish = deltas[-1].finish_reason
        else:
            message = answer.choices[0].message
            content, calls, finish = message.content, message.tool_calls, "tool_calls"
            assert answer.choices[0].finish_reason == finish
        assert (content, finish) == ("Wait. ", "tool_calls")
        (call,) = calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 12})
        assert network.prompts == ["tools: add(a: integer)\x1euser: 6 + 6?\x1eassistant: "]
        # Its result goes back.
        messages = [
            {"role": "user", "content": "6 + 6?"},
            {"role": "assistant", "content": content, "tool_calls": [_dumped(call)]},
            {"role": "tool", "tool_call_id": call.id, "content": "12"},
        ]
        client_of(server).chat.completions.create(model=NAME, messages=messages, tools=TOOLS)
        assert network.prompts[1].endswith(
            f"assistant: Wait. \x1d{CALL}\x1etool: 12\x1eassistant: "
        )
        # Without tools nothing is read as a call.
        plain = client_of(server).chat.completions.create(model=NAME, messages=messages[:1])
        assert plain.choices[0].message.tool_calls is None


def _dumped(call):
    return {"id": call.id, "type": "function", "function": call.function.model_dump()}


USER = [{"role": "user", "content": "a"}]
SCHEMA = {
    "type": "object",
    "properties": {"animal": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "maximum": 99}},
    "required": ["animal", "age"],
}


def test_two_turns_with_a_call(client):
    """The official client holds a conversation with a tool call; every call is well-formed."""
    messages = [{"role": "user", "content": "The cat"}]
    create = functools.partial(
        client.chat.completions.create, model=NAME, tools=TOOLS, max_tokens=120, seed=1
    )
    first = create(messages=messages, tool_choice="required", temperature=2.0, n=2)
    for choice in first.choices:
        assert choice.finish_reason == "tool_calls"
        for call in choice.message.tool_calls:
            assert call.function.name == "add"
            assert isinstance(json.loads(call.function.arguments)["a"], int)
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": "12"}
        for call in first.choices[0].message.tool_calls
    ]
    second = create(messages=messages, temperature=0)
    assert second.choices[0].finish_reason in ("stop", "tool_calls")
    chosen = {"type": "function", "function": {"name": "add"}}
    chunks = list(create(messages=messages, tool_choice=chosen, stream=True, temperature=5.0))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [call.function.name for call in calls] == ["add"]


def test_answers_of_a_form(client):
    create = functools.partial(
        client.chat.completions.create, model=NAME, messages=USER, temperature=3.0, max_tokens=60
    )
    form = {"type": "json_schema", "json_schema": {"name": "pet", "schema": SCHEMA}}
    answer = create(response_format=form, n=2)
    for choice in answer.choices:
        pet = json.loads(choice.message.content)
        assert pet["animal"] in ("cat", "dog")
        assert pet["age"] <= 99
        assert choice.finish_reason == "stop"
    assert isinstance(
        json.loads(create(response_format={"type": "json_object"}).choices[0].message.content), dict
    )
    regex = {"type": "regex", "pattern": "(yes|no)!"}
    assert create(response_format=regex).choices[0].message.content in ("yes!", "no!")
    text = client.completions.create(
        model=NAME, prompt="The ", extra_body={"response_format": regex}, max_tokens=9
    )
    assert text.choices[0].text in ("yes!", "no!")


REFUSED = [
    (TEXT_PATH, {"prompt": "a", "colour": 1}, "colour", "unsupported_parameter"),
    (TEXT_PATH, {"prompt": "a", "temprature": 1}, "temprature", "unsupported_parameter"),
    (TEXT_PATH, {}, "prompt", "missing_parameter"),
    (TEXT_PATH, {"prompt": [1, 2]}, None, None),
    (TEXT_PATH, {"prompt": ""}, "prompt", None),
    (TEXT_PATH, {"prompt": "\ud800"}, "prompt", None),
    (TEXT_PATH, {"prompt": []}, "n", None),
    (TEXT_PATH, {"prompt": "a" * 501}, "prompt", "context_length_exceeded"),
    (TEXT_PATH, {"prompt": "a", "max_tokens": 301}, "max_tokens", None),
    (TEXT_PATH, {"prompt": "a", "max_tokens": "3"}, "max_tokens", "invalid_type"),
    (TEXT_PATH, {"prompt": "a", "max_tokens": True}, "max_tokens", "invalid_type"),
    (TEXT_PATH, {"prompt": "a", "temperature": -1}, "temperature", "invalid_value"),
    (
        TEXT_PATH,
        '{"model": "tiny", "prompt": "a", "temperature": NaN}',
        "temperature",
        "invalid_value",
    ),
    (TEXT_PATH, {"prompt": "a", "top_p": 2}, "top_p", "invalid_value"),
    (TEXT_PATH, {"prompt": "a", "n": 17}, "n", None),
    (TEXT_PATH, {"prompt": "a", "logprobs": 6}, "logprobs", "invalid_value"),
    (TEXT_PATH, {"prompt": "a", "best_of": 2}, "best_of", "unsupported_value"),
    (TEXT_PATH, {"prompt": "a", "frequency_penalty": 3}, "frequency_penalty", "invalid_value"),
    (TEXT_PATH, {"prompt": "a", "presence_penalty": "1"}, "presence_penalty", "invalid_type"),
    (TEXT_PATH, {"prompt": "a", "logit_bias": [1]}, "logit_bias", "invalid_type"),
    (TEXT_PATH, {"prompt": "a", "logit_bias": {"a": 1}}, "logit_bias", "invalid_value"),
    (TEXT_PATH, {"prompt": "a", "logit_bias": {"55296": 1}}, "logit_bias", "invalid_value"),
    (TEXT_PATH, {"prompt": "a", "logit_bias": {"2000000": 1}}, "logit_bias", "invalid_value"),
    (CHAT_PATH, {"messages": USER, "logit_bias": {"97": 101}}, "logit_bias", "invalid_value"),
    (CHAT_PATH, {"messages": USER, "logit_bias": {"97": None}}, "logit_bias", "invalid_value"),
    (
        CHAT_PATH,
        {"messages": USER, "logit_bias": dict.fromkeys(map(str, range(301)), 1)},
        "logit_bias",
        "invalid_value",
    ),
    (TEXT_PATH, {"prompt": "a", "stop": ["a"] * 5}, "stop", None),
    (TEXT_PATH, {"prompt": "a", "stop": ""}, "stop", None),
    (TEXT_PATH, {"prompt": "a", "stream_options": {}}, "stream_options", None),
    (
        TEXT_PATH,
        {"prompt": "a", "stream": True, "stream_options": {"x": True}},
        "stream_options",
        None,
    ),
    (TEXT_PATH, {"prompt": "a", "model": "other"}, "model", "model_not_found"),
    (TEXT_PATH, "{", None, None),
    (CHAT_PATH, {"messages": []}, None, None),
    (CHAT_PATH, {"messages": [{"role": "usr", "content": ""}]}, None, None),
    (CHAT_PATH, {"messages": USER, "top_logprobs": 2}, "top_logprobs", None),
    (
        CHAT_PATH,
        {"messages": USER, "logprobs": True, "top_logprobs": 21},
        "top_logprobs",
        "invalid_value",
    ),
    (
        CHAT_PATH,
        {"messages": USER, "response_format": {"type": "xml"}},
        "response_format",
        "unsupported_value",
    ),
    (
        CHAT_PATH,
        {"messages": USER, "response_format": {"type": "json_schema"}},
        "response_format",
        None,
    ),
    (
        CHAT_PATH,
        {
            "messages": USER,
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}},
        },
        "response_format",
        "invalid_schema",
    ),
    (
        CHAT_PATH,
        {"messages": USER, "response_format": {"type": "regex", "pattern": "(a"}},
        "response_format",
        "invalid_schema",
    ),
    (
        CHAT_PATH,
        {
            "messages": USER,
            "response_format": {"type": "regex", "pattern": "a{9}"},
            "max_tokens": 9,
        },
        "max_tokens",
        None,
    ),
    (CHAT_PATH, {"messages": USER, "tool_choice": "required"}, "tool_choice", None),
    (
        CHAT_PATH,
        {"messages": USER, "tools": TOOLS, "tool_choice": "some"},
        "tool_choice",
        "unsupported_value",
    ),
    (
        CHAT_PATH,
        {
            "messages": USER,
            "tools": TOOLS,
            "tool_choice": {"type": "function", "function": {"name": "sub"}},
        },
        "tool_choice",
        "unsupported_value",
    ),
    (CHAT_PATH, {"messages": USER, "functions": []}, "functions", "unsupported_parameter"),
    (CHAT_PATH, {"messages": USER, "modalities": ["audio"]}, "modalities", "unsupported_value"),
    (CHAT_PATH, {"messages": USER, "tools": [{"type": "web_search"}]}, None, None),
]


@pytest.mark.parametrize(("path", "body", "param", "code"), REFUSED, ids=range(len(REFUSED)))
def test_refusals(server, path, body, param, code):
    if isinstance(body, dict):
        body = {"model": NAME} | body
    status, _, raw = server.ask("POST", path, body, {"Authorization": f"Bearer {KEY}"})
    error = json.loads(raw)["error"]
    assert status == (404 if code == "model_not_found" else 400)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"].isprintable()
    if code and code.startswith("unsupported"):
        assert "not supported" in error["message"]
        assert param in error["message"]


def test_every_parameter_is_documented():
    page = pathlib.Path(__file__).parents[3] / "docs" / "assistant.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in sorted({*COMPLETION, *CHAT}) if f"`{name}`" not in text] == []


def test_keys(server):
    with pytest.raises(openai.AuthenticationError, match="expected the header Authorization"):
        client_of(server, "another").models.list()
    for path, status in (("/", 200), ("/about.json", 200), (f"/v1/models/{NAME}", 401)):
        assert server.ask("GET", path)[0] == status
    generate = {"signature_name": "generate", "inputs": {}}
    assert server.ask("POST", f"/v1/models/{NAME}:predict", generate)[0] == 401


def test_the_client_shows_refusals(client):
    with pytest.raises(openai.BadRequestError, match="colour: this parameter is not supported"):
        client.completions.create(model=NAME, prompt="a", extra_body={"colour": 1})
    with pytest.raises(openai.NotFoundError, match="expected 'tiny', received 'gpt'"):
        client.chat.completions.create(model="gpt", messages=USER)


def test_they_share_batches():
    network = AnswerFeedback()
    with serving(network.network(), gather=300) as server:

        def ask(prompt):
            answer = client_of(server).completions.create(
                model=NAME, prompt=prompt, max_tokens=8, stop="z"
            )
            return answer.choices[0].text

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            texts = list(pool.map(ask, ["a", "bz", "c", "d"]))
    assert texts == ["aaaaaaaa", "b", "cccccccc", "dddddddd"]
    assert max(map(len, network.batches)) > 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_stops_the_work(stream):
    network = AnswerFeedback()
    network.gate.clear()
    with serving(network.network()) as server:
        body = {"model": NAME, "messages": USER, "max_tokens": 1000, "stream": stream}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", CHAT_PATH, json.dumps(body))
        end = time.monotonic() + 20
        while not network.batches and time.monotonic() < end:
            time.sleep(0.01)
        connection.close()
        network.single.release()
        while server.batcher.answered < 1 and time.monotonic() < end:
            network.single.release()
            time.sleep(0.02)
        assert server.batcher.answered == 1
        assert network.steps < 200
        network.gate.set()


def test_a_fault_of_the_network():
    network = AnswerFeedback()
    with serving(network.network()) as server:
        create = functools.partial(client_of(server).completions.create, model=NAME, prompt="boom")
        with pytest.raises(openai.InternalServerError, match="internal error"):
            create()
        with pytest.raises(openai.APIError, match="internal error"):
            list(create(stream=True))


def test_what_a_saved_model_does_not_offer():
    with serving(Scripted("abc").network()) as server:
        client = client_of(server)
        with pytest.raises(openai.BadRequestError, match="not supported by a SavedModel"):
            client.completions.create(model=NAME, prompt="a", top_p=0.5)
        with pytest.raises(openai.BadRequestError, match="not supported by a SavedModel"):
            client.chat.completions.create(
                model=NAME, messages=USER, response_format={"type": "json_object"}
            )
    with serving(ServedModel("1", {})) as server:
        client = client_of(server)
        with pytest.raises(openai.BadRequestError, match="does not continue texts"):
            client.completions.create(model=NAME, prompt="a")


def test_tools_of_the_page():
    """Only the tools that the operator named run, and only with the key."""
    path, key = "/v1/tools/call", {"Authorization": f"Bearer {KEY}"}
    box = Toolbox([Calculator()], allowed=["calculator"])
    with serving(AnswerFeedback().network(), key=KEY, toolbox=box) as server:
        status, about = server.get("/about.json")
        assert status == 200
        (tool,) = about["tools"]
        assert (tool["allowed"], tool["harmless"]) == (True, True)
        assert tool["tool"]["function"]["name"] == "calculator"
        for body, expected in (
            ({"name": "calculator", "arguments": {"expression": "6*7"}}, "42"),
            ({"name": "shell", "arguments": {}}, "Error: there is no tool 'shell'"),
            ({"name": "calculator", "arguments": {"expression": "1/0"}}, "Error: division by zero"),
        ):
            status, _, raw = server.ask("POST", path, body, key)
            assert status == 200
            assert json.loads(raw)["result"].startswith(expected)
        assert server.ask("POST", path, {"name": "calculator", "arguments": {}})[0] == 401
        for body in ({}, {"name": 1, "arguments": {}}, {"name": "a", "arguments": []}, []):
            assert server.ask("POST", path, body, key)[0] == 400
        evil = key | {"Origin": "https://evil.example.org"}
        assert server.ask("POST", path, {"name": "calculator", "arguments": {}}, evil)[0] == 403
    with serving(AnswerFeedback().network()) as server:
        assert server.get("/about.json")[1]["tools"] == []
        assert server.ask("POST", path, {"name": "calculator", "arguments": {}})[0] == 400
