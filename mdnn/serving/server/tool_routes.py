"""Runs the calls of tools that the page shows, for the tools that the operator named."""

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from mdnn.chat.messages import ToolCall
from mdnn.serving.requests.json_tensors import parse_body
from mdnn.serving.requests.request_limits import BAD, RefusalError
from mdnn.serving.requests.request_reading import RequestReader


class ToolRoutes:
    """The address that runs calls.

    Args:
        toolbox: `mdnn.tools.toolbox.Toolbox`; `None`: no tools.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
    """

    def __init__(self, toolbox, limits):
        self.toolbox, self.reader = toolbox, RequestReader(limits)

    def about(self):
        """Returns the page's descriptions of the tools, a list of dicts."""
        if self.toolbox is None:
            return []
        return [
            {
                "tool": tool.spec().as_json(),
                "allowed": "*" in self.toolbox.allowed or name in self.toolbox.allowed,
                "harmless": tool.harmless,
            }
            for name, tool in self.toolbox.tools.items()
        ]

    def routes(self):
        """Returns the routes, a list; empty without tools."""
        return (
            [] if self.toolbox is None else [Route("/v1/tools/call", self.call, methods=["POST"])]
        )

    async def call(self, request):
        """Runs a call, `{"name": ..., "arguments": {...}}`, that the person has approved."""
        async with self.reader.in_time(self.reader.end()):
            body = parse_body(await self.reader.body(request))
        name, arguments = body.get("name"), body.get("arguments")
        if body.keys() != {"name", "arguments"} or not isinstance(name, str):
            raise RefusalError(BAD, "expected an object of name and arguments")
        if not isinstance(arguments, dict):
            raise RefusalError(BAD, "arguments: expected an object")
        result = await run_in_threadpool(self.toolbox.run, ToolCall(name, arguments))
        tool = self.toolbox.tools.get(name)
        return JSONResponse({"result": result, "untrusted": bool(tool and tool.untrusted)})
