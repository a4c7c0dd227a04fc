"""The messages of a conversation, as OpenAI's API writes them."""

import dataclasses
import json
import secrets

from mdnn.errors import MdnnError, did_you_mean, shown
from mdnn.strict_json import parse_json

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles of messages; `developer` is another name of `system`."""

MAX_MESSAGES = 1000
"""Largest number of messages of a conversation."""

_KEYS = {
    "system": ("role", "content", "name"),
    "user": ("role", "content", "name"),
    "assistant": ("role", "content", "name", "tool_calls", "refusal"),
    "tool": ("role", "content", "name", "tool_call_id"),
}


@dataclasses.dataclass(frozen=True)
class ToolCall:
    """A tool call written by an assistant.

    Args:
        name: str, the tool's name.
        arguments: dict, the values of its parameters by name.
        id: str, which a result names.
    """

    name: str
    arguments: dict
    id: str = ""

    def text(self):
        """Returns the call as JSON text, as layouts write it."""
        table = {"name": self.name, "arguments": self.arguments}
        return json.dumps(table, ensure_ascii=False)

    def as_json(self):
        """Returns the call as OpenAI's API writes it, a dict."""
        arguments = json.dumps(self.arguments, ensure_ascii=False)
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.id or new_call_id(), "type": "function", "function": function}


def new_call_id():
    """Returns a random id of a call, str."""
    return f"call_{secrets.token_hex(12)}"


@dataclasses.dataclass(frozen=True)
class Message:
    """One message of a conversation.

    Args:
        role: `"system"`, `"user"`, `"assistant"` or `"tool"`.
        content: str.
        calls: tuple of `ToolCall`, of an assistant.
        call_id: str, the id of the call that a tool's message answers; empty if it is not known.
    """

    role: str
    content: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""

    def as_json(self):
        """Returns the message as OpenAI's API writes it, a dict."""
        table = {"role": self.role, "content": self.content}
        if self.calls:
            table["tool_calls"] = [call.as_json() for call in self.calls]
        if self.call_id:
            table["tool_call_id"] = self.call_id
        return table


def parse_messages(values, where="messages"):
    """Converts messages from JSON.

    Args:
        values: list of dicts as in OpenAI's API. `content` may be a str, `null` beside
            `tool_calls`, or a list of parts of the type `text`. The arguments of a call may be a
            JSON text or an object.
        where: str, name of the list in errors.

    Returns:
        List of `Message`.

    Raises:
        MdnnError: not such messages; names the message and its key.

    Example:

    >>> parse_messages([{"role": "user", "content": "Hello"}])
    [Message(role='user', content='Hello', calls=(), call_id='')]
    """
    if not isinstance(values, (list, tuple)) or not values:
        raise MdnnError(f"{where}: expected a list of messages, received {shown(values)}")
    if len(values) > MAX_MESSAGES:
        raise MdnnError(f"{where}: expected at most {MAX_MESSAGES}, received {len(values)}")
    messages = [_message(value, f"{where}[{k}]") for k, value in enumerate(values)]
    _check_order(messages, where)
    return messages


def _check_order(messages, where):
    """Refuses results of tools that answer no call."""
    open_calls = False
    for k, message in enumerate(messages):
        if message.role == "tool" and not open_calls:
            raise MdnnError(
                f"{where}[{k}]: expected a message of role 'tool' after an assistant's tool_calls"
            )
        open_calls = bool(message.calls) or (message.role == "tool" and open_calls)


def _message(value, where):
    if not isinstance(value, dict):
        raise MdnnError(f"{where}: expected an object, received {shown(value)}")
    role = value.get("role")
    if role not in ROLES:
        raise MdnnError(
            f"{where}.role: expected one of {', '.join(ROLES)}; received {shown(role)}"
            f"{did_you_mean(role, ROLES)}"
        )
    role = "system" if role == "developer" else role
    for key, content in value.items():
        if key not in _KEYS[role] and content is not None:
            raise MdnnError(
                f"{where}.{key}: not supported in a message of role {role!r}"
                f"{did_you_mean(key, _KEYS[role])}"
            )
    calls = _calls(value.get("tool_calls"), f"{where}.tool_calls")
    content = _content(value.get("content"), bool(calls), f"{where}.content")
    call_id = value.get("tool_call_id") or ""
    if not isinstance(call_id, str):
        raise MdnnError(f"{where}.tool_call_id: expected a string, received {shown(call_id)}")
    return Message(role, content, calls, call_id)


def _content(value, optional, where):
    if value is None and optional:
        return ""
    if isinstance(value, list):
        for k, entry in enumerate(value):
            kind = entry.get("type") if isinstance(entry, dict) else None
            if kind != "text":
                raise MdnnError(
                    f"{where}[{k}].type: expected 'text' (a network of text reads nothing else), "
                    f"received {shown(kind)}"
                )
            check_str(entry.get("text"), f"{where}[{k}].text")
        return "".join(entry["text"] for entry in value)
    return check_str(value, where)


def check_str(value, where):
    """Returns a str of valid Unicode characters; raises `MdnnError` for anything else."""
    if not isinstance(value, str):
        raise MdnnError(f"{where}: expected a string, received {shown(value)}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise MdnnError(
            f"{where}: expected a string of Unicode characters, received {shown(value)}"
        )
    return value


def _calls(value, where):
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise MdnnError(f"{where}: expected a list of calls, received {shown(value)}")
    return tuple(_call(entry, f"{where}[{k}]") for k, entry in enumerate(value))


def _call(value, where):
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or value.get("type", "function") != "function":
        raise MdnnError(f"{where}: expected a call of type 'function', received {shown(value)}")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise MdnnError(f"{where}.function.name: expected a name, received {shown(name)}")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = parse_json(arguments or "{}", f"{where}.function.arguments")
    if not isinstance(arguments, dict):
        raise MdnnError(
            f"{where}.function.arguments: expected an object, received {shown(arguments)}"
        )
    call_id = value.get("id") or ""
    if not isinstance(call_id, str):
        raise MdnnError(f"{where}.id: expected a string, received {shown(call_id)}")
    return ToolCall(check_str(name, f"{where}.function.name"), arguments, call_id)
