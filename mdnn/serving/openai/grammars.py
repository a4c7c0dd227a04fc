"""Builds the grammars of requests: `response_format`, `tools` and `tool_choice`."""

import functools
import json

from mdnn.chat.chat_layout import ChatFormat
from mdnn.chat.tool_specs import parse_tools
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.call_expressions import answer_expression
from mdnn.constraints.expressions import choice, sequence
from mdnn.constraints.json_schemas import schema_expression
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.errors import MdnnError, did_you_mean, shown
from mdnn.serving.openai.parameters import ApiError

KINDS = ("text", "json_object", "json_schema", "regex")
"""Types of `response_format`; `regex`, with `pattern`, is mdnn's own."""

NEEDS = "not supported by a SavedModel; serve the run folder"
"""Which networks have grammars."""

CACHED = 8
"""Grammars that are kept: a program asks for the same ones again and again."""


def response_schema(values):
    """Returns the schema of `response_format` as JSON text; empty for any text.

    Args:
        values: dict, the checked parameters of a request.

    Raises:
        ApiError: not a supported form.
    """
    form = values.get("response_format", {"type": "text"})
    kind = form.get("type")
    if kind not in KINDS:
        raise ApiError(
            f"response_format.type: expected one of {', '.join(KINDS)}, received {shown(kind)}"
            f"{did_you_mean(kind, KINDS)}; it is not supported",
            "response_format",
            "unsupported_value",
        )
    names = {"json_schema": ("type", "json_schema"), "regex": ("type", "pattern")}
    for key in form:
        if key not in names.get(kind, ("type",)):
            raise ApiError(f"response_format.{key[:40]}: not supported", "response_format")
    if kind == "text":
        return ""
    if kind == "regex":
        return json.dumps(["regex", form.get("pattern")])
    if kind == "json_object":
        return json.dumps(["schema", {"type": "object"}])
    table = form.get("json_schema")
    if not isinstance(table, dict) or not isinstance(table.get("schema"), (dict, bool)):
        raise ApiError(
            f"response_format.json_schema: expected an object with 'schema', received "
            f"{shown(table)}",
            "response_format",
        )
    for key in table:
        if key not in ("name", "description", "schema", "strict"):
            raise ApiError(
                f"response_format.json_schema.{key[:40]}: not supported", "response_format"
            )
    # The order of properties is that of the answer: keys are not sorted.
    return json.dumps(["schema", table["schema"]])


def tool_rules(values):
    """Returns the tools that may be called, whether one must be, and how many calls there may be.

    Returns:
        List of `ToolSpec`, bool, and int or `None`.

    Raises:
        ApiError: a choice that is not supported, or of a tool that is not there.
    """
    tools, choice_ = parse_tools(values.get("tools", [])), values.get("tool_choice", "auto")
    most = None if values.get("parallel_tool_calls", True) else 1
    if choice_ in ("none", "auto"):
        return ([] if choice_ == "none" else tools), False, most
    if not tools:
        raise ApiError("tool_choice: expected tools in the request, received none", "tool_choice")
    if choice_ == "required":
        return tools, True, most
    function = choice_.get("function") if isinstance(choice_, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    named = [tool for tool in tools if tool.name == name]
    if not named or choice_.get("type") != "function":
        raise ApiError(
            "tool_choice: expected 'none', 'auto', 'required' or {'type': 'function', "
            f"'function': {{'name': NAME}}}} with the name of a tool, received {shown(choice_)}; "
            "anything else is not supported",
            "tool_choice",
            "unsupported_value",
        )
    return named, True, 1


def chat_grammar(network, form, tools, must_call, most_calls):
    """Returns the grammar of an assistant's turn, `None` for any text.

    Args:
        network: `mdnn.serving.server.served_model.ServedModel`.
        form: str as returned by `response_schema`.
        tools, must_call, most_calls: as returned by `tool_rules`.

    Raises:
        ApiError: a schema that is not supported or cannot be met, or a network without grammars.
    """
    if not form and not tools:
        return None
    if not network.completions.grammars:
        if form or must_call:
            raise ApiError(
                f"response_format, tool_choice: {NEEDS}",
                "response_format" if form else "tool_choice",
                "unsupported_parameter",
            )
        # Calls are read where the network writes them.
        return None
    described = json.dumps([tool.as_json() for tool in tools])
    return _tables(network.completions, form, described, must_call, most_calls, network.chat_format)


def text_grammar(network, form, end):
    """Returns the grammar of a completion that ends with a text; see `chat_grammar`."""
    if not form:
        return None
    layout = ChatFormat(end=end)
    if not network.completions.grammars:
        raise ApiError(
            f"response_format: {NEEDS}",
            "response_format",
            "unsupported_parameter",
        )
    return _tables(network.completions, form, "[]", False, None, layout)


@functools.lru_cache(maxsize=CACHED)
def _tables(completions, form, described, must_call, most_calls, layout):
    """Returns the cached `GrammarTables` of a grammar."""
    param = "response_format" if form else "tools"
    try:
        tools = parse_tools(json.loads(described))
        options = []
        if form:
            kind, value = json.loads(form)
            make = {"regex": parse_regex, "schema": schema_expression}[kind]
            if not must_call:
                options.append(sequence(make(value, "response_format"), layout.end))
        if tools:
            options.append(answer_expression(tools, layout, must_call or bool(form), most_calls))
        return completions.grammar(compile_expression(choice(*options), param))
    except MdnnError as error:
        raise ApiError(str(error), param, "invalid_schema") from None


def check_length(grammar, max_tokens):
    """Refuses a number of tokens that no text of a grammar fits into."""
    least = 0 if grammar is None else grammar.least
    if max_tokens < least:
        raise ApiError(
            f"max_tokens: expected at least {least}, which the shortest answer of this form takes, "
            f"received {max_tokens}",
            "max_tokens",
        )
