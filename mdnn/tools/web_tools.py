"""The web: a page as text, its links, and search through an address that the person names."""

import json
from urllib.parse import quote_plus, urlsplit

from mdnn.errors import MdnnError
from mdnn.tools.page_text import page_text
from mdnn.tools.tool import LocalTool, ToolError
from mdnn.tools.web_addresses import AllowedHosts, WebAddress
from mdnn.tools.web_fetch import fetch, fetch_address

SHOWN = 6000
"""Characters of a page that one call shows."""

MAX_HITS = 10
"""Results of a search."""


class WebVisit:
    """State shared by the web tools: the allowed hosts, and the last page's links.

    Args:
        hosts: `AllowedHosts`.
        private: bool, whether hosts may have private addresses; for tests and one's own network.
    """

    def __init__(self, hosts, private=False):
        self.hosts, self.private, self.links = hosts, private, []

    def show(self, url, start=0):
        """Returns a page as text, from a character on."""
        page = fetch(url, self.hosts, self.private)
        title, text, self.links = page_text(page)
        shown = text[max(0, start) : max(0, start) + SHOWN]
        more = len(text) - max(0, start) - len(shown)
        head = f"{title}\n{page.url}\n\n" if title else f"{page.url}\n\n"
        tail = f"\n\n[{more:,} more characters: start={start + len(shown)}]" if more > 0 else ""
        return f"{head}{shown}{tail}"


class OpenPage(LocalTool):
    """Shows a page of the web as text.

    Args:
        visit: `WebVisit`.
    """

    name = "open_page"
    description = "a page of the web as text; links are numbered"
    parameters = {  # noqa: RUF012
        "url": {"type": "string"},
        "start": {"type": "integer", "description": "the first character to show"},
    }
    required = ("url",)
    untrusted = True

    def __init__(self, visit):
        self.visit = visit

    def run(self, url, start=0):
        """Returns title, address and text of a page."""
        return self.visit.show(url, start)


class FollowLink(LocalTool):
    """Follows a link of the last page.

    Args:
        visit: `WebVisit`.
    """

    name = "follow_link"
    description = "the page that a numbered link of the last page leads to"
    parameters = {"number": {"type": "integer"}}  # noqa: RUF012
    required = ("number",)
    untrusted = True

    def __init__(self, visit):
        self.visit = visit

    def run(self, number):
        """Returns the page behind a link."""
        links = self.visit.links
        if not 1 <= number <= len(links):
            raise ToolError(f"expected a link from 1 to {len(links)}, received {number}")
        return self.visit.show(links[number - 1])


class WebSearch(LocalTool):
    """Searches through an address that answers in JSON, as SearXNG does.

    Args:
        url: str, the address; `q` and `format=json` are added to it.
        visit: `WebVisit`, whose links become those of the results.
        private: bool, whether the address may be private: the person's own computer.

    Raises:
        MdnnError: no address of http or https.
    """

    name = "web_search"
    description = "searches the web; results are numbered links"
    parameters = {"query": {"type": "string"}}  # noqa: RUF012
    required = ("query",)
    untrusted = True

    def __init__(self, url, visit, private=True):
        try:
            split = urlsplit(url)
            _ = split.port
        except ValueError:
            split = None
        if split is None or split.scheme not in ("http", "https") or not split.hostname:
            raise MdnnError(
                f"--web-search: expected an address such as http://localhost:8888/search, "
                f"received {url!r}"
            )
        self.url, self.visit, self.private = url, visit, private

    def run(self, query):
        """Returns titles, addresses and summaries of results."""
        joint = "&" if "?" in self.url else "?"
        page = _fetch_named(f"{self.url}{joint}q={quote_plus(query)}&format=json", self.private)
        try:
            results = json.loads(page.body.decode("utf-8"))["results"]
            hits = [
                (str(hit["url"]), str(hit.get("title", "")), str(hit.get("content") or ""))
                for hit in results[:MAX_HITS]
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ToolError("the answer of the search is not SearXNG's JSON") from None
        self.visit.links = [url for url, _, _ in hits]
        lines = [
            f"[{number}] {_one_line(title, 200)}\n{url[:300]}\n{_one_line(text, 400)}"
            for number, (url, title, text) in enumerate(hits, 1)
        ]
        return "\n\n".join(lines) or "No results."


def _one_line(text, most):
    return " ".join(text.split())[:most]


def _fetch_named(url, private):
    """Fetches an address that the user has named; allows only its own host and port."""
    split = urlsplit(url)
    default = 443 if split.scheme == "https" else 80
    target = f"{split.path or '/'}?{split.query}"
    address = WebAddress(split.scheme, split.hostname, split.port or default, target)
    return fetch_address(address, private)


def web_tools(hosts, search=None, private=False):
    """Returns the tools of the web.

    Args:
        hosts: list of the names of allowed hosts, see `AllowedHosts`.
        search: str, the address of a search, or `None`.
        private: bool, whether hosts may have private addresses.
    """
    visit = WebVisit(AllowedHosts(tuple(host.lower() for host in hosts)), private)
    tools = [OpenPage(visit), FollowLink(visit)] if hosts else []
    return [*tools, WebSearch(search, visit)] if search else tools
