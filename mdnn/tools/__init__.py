"""Tools that a network may call: a calculator, a calendar, files, web pages, MCP servers."""
