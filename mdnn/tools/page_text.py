"""A page as plain text, with its links numbered."""

import codecs
import html.parser
import re
from urllib.parse import urljoin

MAX_LINKS = 200
"""Links of a page that are numbered."""

_HIDDEN = frozenset(("script", "style", "template", "noscript", "svg", "math", "head", "iframe"))
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure"),
        *("footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main"),
        *("nav", "ol", "p", "pre", "section", "table", "tr", "ul"),
    )
)


def page_text(page):
    """Returns title, text and links of a page.

    Args:
        page: `mdnn.tools.web_fetch.Page`.

    Returns:
        `(title, text, links)`: str, str and a list of addresses; a link's text is followed by its
        number in brackets, from 1.
    """
    text = _decoded(page)
    if page.kind not in ("text/html", "application/xhtml+xml"):
        return "", _tidy(text), []
    parser = _PageParser(page.url)
    parser.feed(text)
    parser.close()
    return " ".join(parser.title.split()), _tidy("".join(parser.pieces)), parser.links


def _decoded(page):
    charset = page.charset
    if not charset:
        stated = re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", page.body[:4096], re.I)
        charset = stated[1].decode("ascii") if stated else "utf-8"
    try:
        codec = codecs.lookup(charset).name
    except LookupError:
        codec = "utf-8"
    try:
        return page.body.decode(codec, "replace")
    # Some codecs of Python are not of texts.
    except (LookupError, UnicodeError, ValueError):
        return page.body.decode("utf-8", "replace")


def _tidy(text):
    """Returns a text with single spaces, without invisible characters, with few line breaks."""
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _PageParser(html.parser.HTMLParser):
    """Collects the visible text of a page.

    Args:
        url: str, the address that relative links begin with.
    """

    def __init__(self, url):
        super().__init__(convert_charrefs=True)
        self.url, self.title, self.pieces, self.links = url, "", [], []
        self.hidden, self.in_title, self.link = [], False, None

    def handle_starttag(self, tag, attributes):
        if tag == "title":
            self.in_title = True
        elif tag in _HIDDEN:
            self.hidden.append(tag)
        elif tag == "body":
            self.hidden.clear()
        if tag in _BLOCKS:
            self.pieces.append("\n")
        if tag in ("td", "th"):
            self.pieces.append(" ")
        if tag == "a":
            self._end_link()
            self.link = dict(attributes).get("href")

    def handle_endtag(self, tag):
        if tag == "title":
            self.in_title = False
        if tag in self.hidden:
            while self.hidden.pop() != tag:
                pass
        if tag in _BLOCKS:
            self.pieces.append("\n")
        if tag == "a":
            self._end_link()

    def handle_data(self, data):
        if self.in_title:
            self.title += data
        elif not self.hidden:
            self.pieces.append(data)

    def _end_link(self):
        link, self.link = self.link, None
        if not link or len(self.links) >= MAX_LINKS:
            return
        try:
            address = urljoin(self.url, link.strip()).partition("#")[0]
        except ValueError:
            return
        if not address.startswith(("http://", "https://")):
            return
        if address not in self.links:
            self.links.append(address)
        self.pieces.append(f" [{self.links.index(address) + 1}]")
