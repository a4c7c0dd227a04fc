"""Messages and tools: read, written again, and what is refused."""

import json

import pytest

from mdnn.chat.messages import Message, ToolCall, parse_messages
from mdnn.chat.tool_specs import parse_tools
from mdnn.errors import MdnnError

CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TALK = [
    {"role": "developer", "content": "Be short."},
    {"role": "user", "content": [{"type": "text", "text": "One "}, {"type": "text", "text": "?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "2"},
    {"role": "assistant", "content": "Two."},
]


def test_messages():
    messages = parse_messages(TALK)
    assert messages == [
        Message("system", "Be short."),
        Message("user", "One ?"),
        Message("assistant", "", (ToolCall("add", {"a": 1}, "1"),)),
        Message("tool", "2", (), "1"),
        Message("assistant", "Two."),
    ]
    assert parse_messages([message.as_json() for message in messages]) == messages
    # The arguments may be an object, as data sets write them.
    function = CALL["function"] | {"arguments": {"a": 1}}
    parsed = parse_messages([{"role": "assistant", "tool_calls": [{"function": function}]}])
    assert parsed[0].calls == (ToolCall("add", {"a": 1}),)
    assert json.loads(parsed[0].calls[0].as_json()["function"]["arguments"]) == {"a": 1}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "expected a list of messages"),
        ("hello", "expected a list of messages"),
        (["hello"], r"messages\[0\]: expected an object"),
        ([{"role": "usr", "content": ""}], r"messages\[0\]\.role: .*did you mean 'user'"),
        ([{"content": ""}], r"\.role: expected one of system, .*; received None"),
        ([{"role": "user"}], r"\.content: expected a string, received None"),
        ([{"role": "user", "content": 3}], r"\.content: expected a string, received 3"),
        ([{"role": "user", "content": "\ud800"}], "expected a string of Unicode characters"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], r"content\[0\]\.type: expected"),
        ([{"role": "user", "content": "", "tool_calls": [CALL]}], r"tool_calls: not supported"),
        ([{"role": "user", "content": "", "audio": {}}], r"audio: not supported"),
        ([{"role": "tool", "content": "2"}], "expected a message of role 'tool' after"),
        ([TALK[2], TALK[3], TALK[1], TALK[3]], r"messages\[3\]: expected a message of role 'tool'"),
        ([{"role": "assistant", "tool_calls": [{}]}], r"tool_calls\[0\]: expected a call"),
        ([{"role": "user", "content": "a"}] * 1001, "expected at most 1000, received 1001"),
    ],
)
def test_bad_messages(messages, said):
    with pytest.raises(MdnnError, match=said):
        parse_messages(messages)


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}', 3])
def test_bad_arguments(arguments):
    function = {"name": "add", "arguments": arguments}
    with pytest.raises(MdnnError, match=r"tool_calls\[0\]\.function\.arguments"):
        parse_messages([{"role": "assistant", "tool_calls": [{"function": function}]}])


ADD = {
    "name": "add",
    "description": "exact",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "unit": {"enum": ["cm", "m"]}, "b": {}},
        "required": ["a"],
    },
}


def test_tools():
    (tool,) = parse_tools([{"type": "function", "function": ADD}])
    assert tool.signature() == "add(a: integer, unit?: cm|m, b?: any): exact"
    assert parse_tools([tool.as_json()]) == [tool]
    (plain,) = parse_tools([{"type": "function", "function": {"name": "clock"}}])
    assert plain.signature() == "clock()"


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({}, "tools: expected a list"),
        ([{"type": "web_search"}], r"tools\[0\]: expected a tool of type 'function'"),
        ([{"type": "function", "function": {"name": "a b"}}], r"function\.name: expected letters"),
        ([{"type": "function", "function": ADD | {"cost": 1}}], r"function\.cost: not supported"),
        (
            [{"type": "function", "function": {"name": "a", "parameters": [1]}}],
            "expected the JSON schema of an object",
        ),
        ([{"type": "function", "function": ADD}] * 2, "received 'add' twice"),
    ],
)
def test_bad_tools(tools, said):
    with pytest.raises(MdnnError, match=said):
        parse_tools(tools)
