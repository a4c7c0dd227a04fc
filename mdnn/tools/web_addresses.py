"""Checks web addresses before a request: hosts allowed by name, no private networks."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from mdnn.errors import MdnnError
from mdnn.tools.tool import ToolError

PORTS = {"http": 80, "https": 443}

MAX_URL = 2000
"""Characters of an address."""

_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?")

_EMBEDDED = ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0/96")
"""Networks whose addresses contain an IPv4 address, which decides alone where they lead."""


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts to which requests are allowed.

    Args:
        patterns: tuple of str, names such as `docs.python.org`, or `.python.org` for a name and
            all below it.
    """

    patterns: tuple[str, ...] = ()

    def __post_init__(self):
        for pattern in self.patterns:
            name = pattern.removeprefix(".")
            if not _NAME.fullmatch(name) or _is_number(name) or "." not in name:
                raise MdnnError(
                    f"--web: expected a host's name such as docs.python.org, or .python.org for "
                    f"all below it, received {pattern!r}"
                )

    def allows(self, host):
        """Returns whether requests to a host are allowed; its name is in small letters."""
        return any(
            host == pattern.removeprefix(".") or (pattern[0] == "." and host.endswith(pattern))
            for pattern in self.patterns
        )


@dataclass(frozen=True)
class WebAddress:
    """A checked address.

    Args:
        scheme: `"http"` or `"https"`.
        host: str, a name in small ASCII letters without a final dot.
        port: int.
        target: str, path and query.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self):
        """The address as a text."""
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.target}"


def check_address(url, hosts):
    """Returns the `WebAddress` of a text.

    Args:
        url: str.
        hosts: `AllowedHosts`.

    Raises:
        ToolError: no address of http or https, a host that is not allowed by name, a number in
            place of a name, a user's name, or another port than the scheme's.
    """
    if len(url) > MAX_URL or any(c <= " " or c == "\\" or c == "\x7f" for c in url):
        raise ToolError("expected an address without spaces and backslashes")
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        raise ToolError(f"not a web address: {url[:200]!r}") from None
    if split.scheme not in PORTS:
        raise ToolError(f"expected an address of http or https, received {url[:200]!r}")
    if "@" in split.netloc:
        raise ToolError("an address with a user name is not allowed")
    host = _ascii_name(split.hostname or "")
    if not _NAME.fullmatch(host) or _is_number(host):
        raise ToolError(f"expected a host's name, received {(split.hostname or '')[:100]!r}")
    host = host.removesuffix(".")
    if port not in (None, PORTS[split.scheme]):
        raise ToolError(f"port {port} is not allowed, only the default port of {split.scheme}")
    if not hosts.allows(host):
        allowed = ", ".join(hosts.patterns) or "none"
        raise ToolError(f"the host {host[:100]} is not allowed; allowed: {allowed}")
    target = split.path or "/"
    if split.query:
        target += f"?{split.query}"
    return WebAddress(split.scheme, host, PORTS[split.scheme], _quoted(target))


def _ascii_name(host):
    """Returns a host's name in ASCII; an empty text for one that has none."""
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def _is_number(host):
    """Returns whether some resolver reads a host as an address: 127.1, 0x7f.1, 2130706433."""
    last = host.removesuffix(".").rpartition(".")[2]
    return bool(re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last))


def _quoted(target):
    return "".join(c if "!" <= c <= "~" else _percent(c) for c in target)


def _percent(character):
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def is_public(address):
    """Returns whether an IP address belongs to the public internet.

    Addresses that contain others, as of NAT64, 6to4 and Teredo, are public if both are.

    Args:
        address: str, as `socket.getaddrinfo` returns it.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if "%" in address or ip.is_multicast or (ip.is_reserved and ip.version == 4):
        return False
    if ip.version == 4:
        return ip.is_global and not ip.is_unspecified
    inside = [
        ip.ipv4_mapped,
        ip.sixtofour,
        *(ip.teredo or ()),
        # The last 32 bits, of NAT64 and old forms.
        ipaddress.ip_address(int(ip) & 0xFFFFFFFF),
    ]
    if any(ip in ipaddress.ip_network(network) for network in _EMBEDDED):
        # Only NAT64 is ever routed to elsewhere, and only to public addresses.
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        return nat64 and is_public(str(inside[-1]))
    return ip.is_global and not ip.is_site_local and not ip.is_link_local


def resolve(address, private=False):
    """Returns the addresses of a host, all of which are public.

    The connection is made to one of these, so that a name that leads elsewhere a moment later (DNS
    rebinding) changes nothing.

    Args:
        address: `WebAddress`.
        private: bool, whether private addresses are allowed.

    Returns:
        List of `(family, sockaddr)`.

    Raises:
        ToolError: an unknown host, or one with an address that is not public.
    """
    try:
        entries = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ToolError(f"the host {address.host[:100]} is not known") from None
    for entry in entries:
        if not private and not is_public(entry[4][0]):
            raise ToolError(f"the host {address.host[:100]} resolves to a private address")
    if not entries:
        raise ToolError(f"the host {address.host[:100]} is not known")
    return [(entry[0], entry[4]) for entry in entries]
