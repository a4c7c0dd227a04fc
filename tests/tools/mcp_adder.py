"""An MCP server of the official package, for tests."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("adder")


@server.tool()
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    if a == 13:
        raise ValueError("not thirteen")
    return str(a + b)


if __name__ == "__main__":
    server.run()
