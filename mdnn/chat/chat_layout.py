"""Lays conversations out as the text that a network continues, and reads its answers."""

import dataclasses
import re

from mdnn.chat.messages import Message, ToolCall, new_call_id
from mdnn.chat.template import compile_template, render
from mdnn.errors import MdnnError
from mdnn.strict_json import parse_json


@dataclasses.dataclass(frozen=True)
class ChatFormat:
    """Defines how conversations are laid out as text.

    The default is plain: each message is its role, its content and an end mark; the tools come
    first, one per line:

        tools: clock()|user: What time is it?|assistant: #{"name": "clock", "arguments": {}}|
        tool: 12:30|assistant: Half past twelve.|

    with U+001E in place of `|` and U+001D in place of `#`, without line breaks. These characters
    are removed from contents, so that no content can imitate a message.

    Args:
        template: str, a Jinja2 template with the variables `messages`, `tools` and
            `add_generation_prompt`, as in Hugging Face's tokenizers; empty: the plain layout.
        end: str, the mark that ends the assistant's turn.
        call_start, call_end: str, the marks before and after the JSON of a call in the
            assistant's turn.
    """

    template: str = ""
    end: str = "\x1e"
    call_start: str = "\x1d"
    call_end: str = ""

    def __post_init__(self):
        for name in ("end", "call_start"):
            if not getattr(self, name):
                raise MdnnError(f"chat.{name}: expected a string that is not empty")
        if self.template:
            compile_template(self.template)

    def lay_out(self, messages, tools=(), to_continue=True):
        """Returns the text of a conversation.

        Args:
            messages: list of `Message`.
            tools: list of `mdnn.chat.tool_specs.ToolSpec`.
            to_continue: bool, whether the beginning of the assistant's turn follows.

        Raises:
            MdnnError: the template refuses the messages, or fails.
        """
        if self.template:
            return render(self.template, messages, tools, to_continue)
        pieces = []
        if tools:
            lines = "\n".join(tool.signature() for tool in tools)
            pieces.append(f"tools: {self._clean(lines)}{self.end}")
        pieces += [self._plain(message) for message in messages]
        if to_continue:
            pieces.append("assistant: ")
        return "".join(pieces)

    def _plain(self, message):
        return f"{message.role}: {self._clean(message.content)}{self._calls(message)}{self.end}"

    def _calls(self, message):
        return "".join(f"{self.call_start}{call.text()}{self.call_end}" for call in message.calls)

    def _clean(self, text):
        marks = [re.escape(mark) for mark in (self.end, self.call_start, self.call_end) if mark]
        return re.sub("|".join(marks), "", text)

    def turns(self, messages, tools=()):
        """Lays out a conversation and finds the assistant's turns in it.

        Args:
            messages, tools: see `lay_out`.

        Returns:
            The text, and a list of pairs of ints, start and end of each of the assistant's turns
            including its end mark.

        Raises:
            MdnnError: the template does not write a conversation as its beginning and the rest.
        """
        text, spans = self.lay_out(messages, tools, to_continue=False), []
        for number, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before = self.lay_out(messages[:number], tools)
            through = self.lay_out(messages[: number + 1], tools, to_continue=False)
            end = text.find(self.end, max(len(before), len(through) - len(self.end) - 1))
            end = len(through) if end < 0 else end + len(self.end)
            if not text.startswith(before) or end <= len(before):
                raise MdnnError(
                    "chat.template: expected a template that writes a conversation as its "
                    "beginning and the rest; this one changes earlier messages, so that the "
                    "assistant's turns cannot be found"
                )
            spans.append((len(before), min(end, len(text))))
        return text, spans

    def read_answer(self, text):
        """Converts a turn that a network has written into a `Message`.

        A call that is not well-formed stays in the content as it was written.

        Args:
            text: str, the assistant's turn; text after the end mark is ignored.
        """
        text = text.partition(self.end)[0]
        content, *rest = text.split(self.call_start)
        calls, refused = [], []
        for piece in rest:
            body = piece.removesuffix(self.call_end) if self.call_end else piece
            if self.call_end and self.call_end in piece:
                body = piece.partition(self.call_end)[0]
            call = read_call(body)
            if call is None:
                refused.append(piece)
            else:
                calls.append(call)
        return Message("assistant", "".join([content, *refused]), tuple(calls))


def read_call(text):
    """Returns the `ToolCall` in a JSON text; `None` if it is not well-formed."""
    try:
        table = parse_json(text, "call")
    except MdnnError:
        return None
    if not isinstance(table, dict) or table.keys() != {"name", "arguments"}:
        return None
    if not isinstance(table["name"], str) or not isinstance(table["arguments"], dict):
        return None
    return ToolCall(table["name"], table["arguments"], new_call_id())


def fit_messages(chat_format, messages, tools, fits):
    """Drops the oldest turns of a conversation until its text fits.

    System messages at the beginning and the last turn stay. A turn is a user's message with all
    that follows it.

    Args:
        chat_format: `ChatFormat`.
        messages: list of `Message`.
        tools: list of `mdnn.chat.tool_specs.ToolSpec`.
        fits: function of the text that returns whether it fits.

    Returns:
        The text, and the number of dropped messages.
    """
    text = chat_format.lay_out(messages, tools)
    first = next((k for k, m in enumerate(messages) if m.role != "system"), len(messages))
    head, starts = (
        messages[:first],
        [k for k, message in enumerate(messages) if k > first and message.role == "user"],
    )
    dropped = 0
    for start in starts:
        if fits(text):
            break
        text, dropped = chat_format.lay_out([*head, *messages[start:]], tools), start - first
    return text, dropped


def fit_for_answer(chat_format, messages, tools, positions, count, most=None):
    """Drops the oldest turns of a conversation until a quarter of the context is left to answer.

    Args:
        chat_format, messages, tools: see `fit_messages`.
        positions: int, positions of the context; `None`: any length fits.
        count: function of a text that returns its number of tokens.
        most: int, maximum number of characters of the text; `None`: any.

    Returns:
        The text, and the number of dropped messages.
    """

    def fits(text):
        if most is not None and len(text) > most:
            return False
        return positions is None or count(text) <= positions - positions // 4

    return fit_messages(chat_format, messages, tools, fits)
