"""The texts of an assistant's turn with calls of tools."""

import json

from mdnn.constraints.expressions import (
    EMPTY,
    Repeat,
    TextUntil,
    choice,
    literal_expression,
    sequence,
)
from mdnn.constraints.json_schemas import schema_expression


def call_expression(tools):
    """Returns the expression of a call's JSON text.

    Args:
        tools: list of `mdnn.chat.tool_specs.ToolSpec`, or pairs of a name and a schema.
    """
    return choice(
        *(
            sequence(
                f'{{"name": {json.dumps(tool.name)}, "arguments": ',
                schema_expression(tool.parameters, f"the parameters of {tool.name}"),
                "}",
            )
            for tool in tools
        )
    )


def answer_expression(tools, chat_format, must_call=False, most_calls=None):
    """Returns the expression of an assistant's turn, its end mark included.

    Args:
        tools: list of `mdnn.chat.tool_specs.ToolSpec`; not empty.
        chat_format: `mdnn.chat.chat_layout.ChatFormat`.
        must_call: bool, whether the turn consists of calls alone.
        most_calls: int, maximum number of calls; `None`: any.
    """
    call, end = call_expression(tools), literal_expression(chat_format.end)
    one = sequence(call, chat_format.call_end)
    more = Repeat(
        sequence(chat_format.call_start, one), 0, None if most_calls is None else most_calls - 1
    )
    if must_call:
        return sequence(chat_format.call_start, one, more, end)
    return TextUntil(((chat_format.end, EMPTY), (chat_format.call_start, sequence(one, more, end))))
