"""The conversations of benchmarks/assistant.py: made from dialogues and from templates."""

import json
import pathlib
import re
import sys

import pytest

from mdnn.chat.chat_layout import ChatFormat
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.call_expressions import answer_expression
from mdnn.datasets.conversations.conversation_files import read_conversations
from mdnn.tools.calculator import Calculator

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def data():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import assistant_data

        yield assistant_data
    finally:
        sys.path.remove(str(BENCHMARKS))


DIALOGUE = {
    "services": ["Food_1"],
    "turns": [
        {"speaker": "user", "text": "A table in Rome?"},
        {
            "speaker": "system",
            "text": "Booked.",
            "call": {
                "service": "Food_1",
                "method": "Book",
                "parameters": {"town": "Rome", "at": "8"},
            },
            "results": [{"town": "Rome", "ok": "True"}, {}],
        },
    ],
}
OTHER = {
    "services": ["Food_1"],
    "turns": [
        {
            "speaker": "system",
            "text": "None.",
            "call": {"service": "Food_1", "method": "Book", "parameters": {"town": "Oslo"}},
        }
    ],
}


def test_dialogues(data, tmp_path):
    tools = data.schemas([DIALOGUE, OTHER])
    function = tools["Food_1"][0]["function"]
    assert function["parameters"]["required"] == ["town"]
    assert list(function["parameters"]["properties"]) == ["at", "town"]
    data.write(tmp_path / "talk.jsonl", data.conversations([DIALOGUE, OTHER], tools))
    first, _ = read_conversations(tmp_path / "talk.jsonl")
    assert [message.role for message in first.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    call = first.messages[1].calls[0]
    assert (call.name, call.arguments) == ("Book", {"at": "8", "town": "Rome"})
    assert json.loads(first.messages[2].content) == {"town": "Rome", "ok": "True"}
    # Every call is one that a grammar of the tools allows.
    layout = ChatFormat()
    grammar = compile_expression(answer_expression(first.tools, layout))
    assert grammar.matches(f"{layout.call_start}{call.text()}{layout.end}")


def test_arithmetic(data, tmp_path):
    train, held_out = data.arithmetic(1, 200), data.arithmetic(1, 50, held_out=True)
    assert data.arithmetic(1, 200) == train
    questions = [
        {re.sub(r"\d+", "N", talk["messages"][0]["content"]) for talk in some}
        for some in (train, held_out)
    ]
    assert not questions[0] & questions[1]
    data.write(tmp_path / "talk.jsonl", train + held_out)
    for conversation in read_conversations(tmp_path / "talk.jsonl"):
        call, result = conversation.messages[1].calls[0], conversation.messages[2].content
        assert Calculator().run(**call.arguments) == result
