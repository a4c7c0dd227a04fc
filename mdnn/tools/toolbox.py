"""Runs the calls of a network, with rules and limits of time and length."""

import threading

from mdnn.errors import MdnnError, did_you_mean
from mdnn.tools.tool import ToolError

MAX_RESULT = 8000
"""Characters of a result that are passed to the network."""

MAX_SECONDS = 30.0
"""Seconds that a call may take."""

_TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


class Toolbox:
    """The tools of a conversation.

    Args:
        tools: list of `mdnn.tools.tool.LocalTool`.
        allowed: names of the tools that run without approval; `"*"`: all.
        seconds: float, time limit of a call.
        most: int, largest number of characters of a result.

    Raises:
        MdnnError: two tools of one name, or an allowed name that no tool has.
    """

    def __init__(self, tools, allowed=(), seconds=MAX_SECONDS, most=MAX_RESULT):
        self.tools = {}
        for tool in tools:
            if tool.name in self.tools:
                raise MdnnError(f"tools: expected distinct names, received {tool.name!r} twice")
            self.tools[tool.name] = tool
        for name in allowed:
            if name != "*" and name not in self.tools:
                raise MdnnError(
                    f"--allow-tool: no tool {name!r}{did_you_mean(name, self.tools)}; tools: "
                    f"{', '.join(self.tools) or 'none'}"
                )
        self.allowed, self.seconds, self.most = frozenset(allowed), seconds, most
        # Whether texts from outside entered the conversation since the user's last message.
        self.tainted = False

    def specs(self):
        """Returns the `ToolSpec`s of the tools, a list."""
        return [tool.spec() for tool in self.tools.values()]

    def begin_turn(self):
        """Begins a turn of the user: the texts of earlier turns no longer restrict calls."""
        self.tainted = False

    def allows(self, call):
        """Returns whether a call may run without the user's approval.

        After the answer of a page or another program, only harmless tools may: the answer's text
        may instruct the network to call others.

        Args:
            call: `mdnn.chat.messages.ToolCall`.
        """
        tool = self.tools.get(call.name)
        # A call of nothing is answered with an error.
        if tool is None:
            return True
        if self.tainted and not tool.harmless:
            return False
        return "*" in self.allowed or call.name in self.allowed

    def run(self, call):
        """Runs a call and returns its result, or a short error message.

        Args:
            call: `mdnn.chat.messages.ToolCall`.

        Returns:
            str, at most `most` characters and a note.
        """
        tool = self.tools.get(call.name)
        if tool is None:
            known = ", ".join(self.tools) or "none"
            return f"Error: there is no tool {call.name[:80]!r}; tools: {known}"
        if error := check_arguments(tool.spec(), call.arguments):
            return f"Error: {error}"
        result = self._in_time(tool, call.arguments)
        self.tainted |= tool.untrusted
        if len(result) > self.most:
            more = len(result) - self.most
            result = f"{result[: self.most]}\n[{more:,} more characters are left out]"
        return result

    def _in_time(self, tool, arguments):
        """Runs a tool in a separate thread, which is abandoned if it hangs."""
        results = []

        def work():
            try:
                results.append(str(tool.run(**arguments)))
            except ToolError as error:
                results.append(f"Error: {error}")
            # A tool may fail in any way.
            except Exception as error:
                results.append(f"Error: {type(error).__name__}: {str(error)[:200]}")

        thread = threading.Thread(target=work, daemon=True, name=f"mdnn-tool-{tool.name}")
        thread.start()
        thread.join(self.seconds)
        return results[0] if results else f"Error: no result within {self.seconds:g} seconds"

    def close(self):
        """Releases the tools' resources."""
        for tool in self.tools.values():
            tool.close()


def check_arguments(spec, arguments):
    """Returns the error in the arguments of a call, a str; empty for valid ones.

    Names, required ones and the types of values are checked.

    Args:
        spec: `mdnn.chat.tool_specs.ToolSpec`.
        arguments: dict.
    """
    schema = spec.parameters
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in arguments:
            return f"{spec.name}: the argument {name!r} is missing"
    for name, value in arguments.items():
        if name not in properties:
            if schema.get("additionalProperties", True) is False:
                known = ", ".join(properties) or "none"
                return f"{spec.name}: unknown argument {name[:80]!r}; known: {known}"
            continue
        inner = properties[name] if isinstance(properties[name], dict) else {}
        kind = inner.get("type")
        is_bool = isinstance(value, bool) and kind in ("integer", "number")
        if (
            isinstance(kind, str)
            and kind in _TYPES
            and (is_bool or not isinstance(value, _TYPES[kind]))
        ):
            return f"{spec.name}: {name}: expected a value of type {kind}"
        if "enum" in inner and value not in inner["enum"]:
            return f"{spec.name}: {name}: expected one of {inner['enum']}"
    return ""
