"""Reads conversations from JSON lines."""

from dataclasses import dataclass

from mdnn.chat.messages import Message, parse_messages
from mdnn.chat.tool_specs import ToolSpec, parse_tools
from mdnn.errors import MdnnError, did_you_mean
from mdnn.file_systems import as_path
from mdnn.files import read_small_text
from mdnn.strict_json import parse_json

MAX_FILE_BYTES = 1 << 31
"""Largest size in bytes of a file of conversations."""

_KEYS = ("messages", "tools", "parallel_tool_calls")


@dataclass(frozen=True)
class Conversation:
    """Messages and tools of one conversation.

    Args:
        messages: tuple of `mdnn.chat.messages.Message`.
        tools: tuple of `mdnn.chat.tool_specs.ToolSpec` that the assistant is told of.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()

    @property
    def has_answers(self):
        """bool, whether the assistant says anything."""
        return any(message.role == "assistant" for message in self.messages)


def read_conversations(source):
    """Returns the conversations of a file of JSON lines.

    Each line is an object with `messages`, as OpenAI's API and its fine-tuning files have them,
    and perhaps `tools`. Empty lines are skipped.

    Args:
        source: str or path.

    Returns:
        List of `Conversation`.

    Raises:
        MdnnError: no such file, or a line that is not a conversation; names the line.
    """
    path = as_path(source, "data.source")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise MdnnError(
            f"data.source: expected a file of conversations (JSON lines), there is {what} at "
            f"{str(source)!r}"
        )
    conversations = []
    for number, text in enumerate(read_small_text(path, MAX_FILE_BYTES).split("\n"), 1):
        if text.strip():
            conversations.append(_conversation(text, f"{path.name}, line {number}"))
    if not any(conversation.has_answers for conversation in conversations):
        raise MdnnError(f"{str(source)!r}: expected conversations with messages of an assistant")
    return conversations


def _conversation(text, where):
    table = parse_json(text, where)
    if not isinstance(table, dict) or "messages" not in table:
        raise MdnnError(f"{where}: expected an object with the key 'messages'")
    for key in table:
        if key not in _KEYS:
            raise MdnnError(f"{where}: unknown key {key[:40]!r}{did_you_mean(key, _KEYS)}")
    tools = parse_tools(table.get("tools") or [], f"{where}: tools")
    return Conversation(
        tuple(parse_messages(table["messages"], f"{where}: messages")), tuple(tools)
    )
