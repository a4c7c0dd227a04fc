"""The page at `/`: plain files inside the package, and what it has to know about the network."""

from pathlib import Path

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "page"
KINDS = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def page_routes(about):
    """The routes of the page.

    Args:
        about: dict that `/about.json` answers.
    """

    def answers(content, kind):
        async def answer(_):
            return Response(content, media_type=kind)

        return answer

    async def tell(_):
        return JSONResponse(about)

    routes = [Route("/about.json", tell)]
    for name, kind in KINDS.items():
        address = "/" if name == "index.html" else f"/{name}"
        routes.append(Route(address, answers((FOLDER / name).read_bytes(), kind)))
    return routes
