"""An MCP server of the official package, started by its command."""

import pathlib
import sys

import pytest

pytest.importorskip("mcp")

from mdnn.chat.messages import ToolCall
from mdnn.errors import MdnnError
from mdnn.tools.mcp_servers import McpServer
from mdnn.tools.toolbox import Toolbox

COMMAND = f'"{sys.executable}" "{pathlib.Path(__file__).with_name("mcp_adder.py")}"'


def test_a_server():
    server = McpServer(COMMAND)
    box = Toolbox(server.tools, allowed=["add"])
    try:
        (spec,) = box.specs()
        assert (spec.name, spec.description) == ("add", "Adds two numbers.")
        assert set(spec.parameters["properties"]) == {"a", "b"}
        assert box.run(ToolCall("add", {"a": 2, "b": 3})) == "5"
        # What another program says may tell the network to call it again.
        assert not box.allows(ToolCall("add", {}))
        assert box.run(ToolCall("add", {"a": 13, "b": 3})).startswith("Error: Error executing tool")
        assert "'b' is missing" in box.run(ToolCall("add", {"a": 2}))
    finally:
        box.close()
    assert not server.thread.is_alive()
    assert box.run(ToolCall("add", {"a": 2, "b": 3})) == "Error: the server has ended"


def test_servers_that_do_not_answer():
    with pytest.raises(MdnnError, match="does not answer: "):
        McpServer(f'"{sys.executable}" -c "print(3)"')
