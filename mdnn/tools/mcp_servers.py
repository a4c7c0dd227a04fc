"""Tools of MCP servers, which are started by their command."""

import asyncio
import concurrent.futures
import contextlib
import os
import shlex
import shutil
import threading
from importlib.util import find_spec

from mdnn.chat.tool_specs import ToolSpec
from mdnn.errors import MdnnError
from mdnn.tools.tool import LocalTool, ToolError

START_SECONDS = 30.0
"""Seconds that a server has to start and to list its tools."""

MAX_TOOLS = 64
"""Tools of one server."""


class McpServer:
    """A server of the Model Context Protocol, run as a process of its own.

    It speaks over its standard input and output; it inherits only the environment variables that
    the package `mcp` passes on (PATH, HOME and the like).

    Args:
        command: str, as in a shell, such as `"python -m my_server"`; it is run without a shell.

    Attributes:
        tools: list of `McpTool`.

    Raises:
        MdnnError: the package `mcp` is missing, there is no such program, or it does not answer.
    """

    def __init__(self, command):
        if find_spec("mcp") is None:
            raise MdnnError("--mcp needs the package mcp: pip install 'mdnn[mcp]'")
        try:
            words = shlex.split(command, posix=os.name != "nt")
        except ValueError as error:
            raise MdnnError(f"--mcp: {error} in {command!r}") from None
        if not words or shutil.which(words[0]) is None:
            raise MdnnError(f"--mcp: there is no program {(words or [''])[0]!r}")
        self.command, self.words = command, words
        self.loop = asyncio.new_event_loop()
        self.ready, self.stop = concurrent.futures.Future(), None
        self.thread = threading.Thread(target=self._work, daemon=True, name="mdnn-mcp")
        self.thread.start()
        try:
            listed = self.ready.result(START_SECONDS)
        except (Exception, concurrent.futures.CancelledError) as error:
            self.close()
            reason = str(_innermost(error)) or type(_innermost(error)).__name__
            raise MdnnError(f"--mcp: {command!r} does not answer: {reason[:200]}") from None
        self.tools = [McpTool(self, tool) for tool in listed[:MAX_TOOLS]]

    def _work(self):
        asyncio.set_event_loop(self.loop)
        try:
            with contextlib.suppress(RuntimeError):
                self.loop.run_until_complete(self._serve())
        finally:
            self.loop.close()

    async def _serve(self):
        # imported late: the package is an extra
        from mcp import Client, StdioServerParameters

        self.stop = asyncio.Event()
        try:
            server = StdioServerParameters(command=self.words[0], args=self.words[1:])
            async with Client(server) as client:
                self.client = client
                self.ready.set_result((await client.list_tools()).tools)
                await self.stop.wait()
        # A foreign program may fail in any way.
        except BaseException as error:
            if not self.ready.done():
                self.ready.set_exception(error)

    def call(self, name, arguments):
        """Calls a tool and returns its text.

        Raises:
            ToolError: the server reports a failure, or no longer answers.
        """
        if not self.thread.is_alive():
            raise ToolError("the server has ended")
        coroutine = self.client.call_tool(name, arguments)
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            result = future.result()
        except Exception as error:
            raise ToolError(str(error)[:300] or type(error).__name__) from None
        texts = [getattr(block, "text", f"[{block.type}]") for block in result.content]
        if result.is_error:
            raise ToolError("\n".join(texts)[:1000] or "the tool failed")
        return "\n".join(texts)

    def close(self):
        """Ends the server."""
        if self.loop.is_running():
            if self.stop is not None:
                self.loop.call_soon_threadsafe(self.stop.set)
            self.thread.join(5)


def _innermost(error):
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


class McpTool(LocalTool):
    """A tool of an MCP server.

    Args:
        server: `McpServer`.
        tool: the tool as `mcp` describes it.
    """

    untrusted = True

    def __init__(self, server, tool):
        self.server, self.name = server, tool.name
        self.description = " ".join((tool.description or "").split())[:500]
        self.schema = tool.input_schema or {"type": "object"}

    def spec(self):
        return ToolSpec(self.name, self.description, self.schema)

    def run(self, **arguments):
        """Returns the text of the server's result."""
        return self.server.call(self.name, arguments)

    def close(self):
        self.server.close()
