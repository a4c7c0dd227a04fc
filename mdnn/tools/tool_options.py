"""The options of commands that name tools."""

from mdnn.errors import MdnnError, did_you_mean
from mdnn.file_systems import path_argument
from mdnn.tools.calculator import Calculator
from mdnn.tools.calendar_tools import Calendar, Clock
from mdnn.tools.folder_search import FolderIndex, ReadFile, SearchFiles
from mdnn.tools.toolbox import Toolbox
from mdnn.tools.web_tools import web_tools

SIMPLE = {"calculator": (Calculator,), "clock": (Clock,), "calendar": (Calendar,)}
"""Tools that need no more than their name."""


def add_tools(command):
    """Adds the options of tools to a command's parser."""
    group = command.add_argument_group(
        "Tools that the network may call (none unless named; each call is shown and needs approval)"
    )
    group.add_argument(
        "--tool",
        metavar="NAME",
        action="append",
        default=[],
        help=f"{', '.join(SIMPLE)} (may be repeated)",
    )
    group.add_argument(
        "--folder",
        metavar="FOLDER",
        type=path_argument,
        help="search and read the texts of a folder: search_files, read_file",
    )
    group.add_argument(
        "--web",
        metavar="HOST",
        action="append",
        default=[],
        help="open pages of a host: open_page, follow_link; docs.python.org, or .python.org for "
        "python.org and its subdomains (may be repeated)",
    )
    group.add_argument(
        "--web-search",
        metavar="ADDRESS",
        help="search the web through an address that answers in SearXNG's JSON: web_search",
    )
    group.add_argument(
        "--mcp",
        metavar="COMMAND",
        action="append",
        default=[],
        help="use the tools of an MCP server that COMMAND starts (may be repeated)",
    )
    group.add_argument(
        "--allow-tool",
        metavar="NAME",
        action="append",
        default=[],
        help="run calls of this tool without asking; '*': of all tools (may be repeated)",
    )


def toolbox_of(options):
    """Returns the `Toolbox` of a command's options; `None` if they name no tool.

    Raises:
        MdnnError: an unknown tool, no folder, a host that is not a name, an MCP server that does
            not answer, or an allowed tool that is not there.
    """
    tools = []
    for name in options.tool:
        if name not in SIMPLE:
            raise MdnnError(
                f"--tool: expected one of {', '.join(SIMPLE)}, received {name!r}"
                f"{did_you_mean(name, SIMPLE)}"
            )
        tools += [make() for make in SIMPLE[name]]
    tools += web_tools(options.web, options.web_search)
    if options.folder:
        index = FolderIndex(options.folder)
        tools += [SearchFiles(index), ReadFile(index)]
    if options.mcp:
        from mdnn.tools.mcp_servers import McpServer

        for command in options.mcp:
            tools += McpServer(command).tools
    if not tools and not options.allow_tool:
        return None
    return Toolbox(tools, options.allow_tool)
