"""The socket that a server listens at."""

import contextlib
import errno
import ipaddress
import socket

from mdnn.errors import MdnnError


def listen(host, port):
    """Returns a socket that listens at an address.

    Args:
        host: str, a name or an address of this computer.
        port: int; 0: any that is free.

    Raises:
        MdnnError: no such port or host, or a port that is in use.
    """
    if type(port) is not int or not 0 <= port <= 65_535:
        raise MdnnError(f"port: expected 0 (any that is free) to 65535, received {port!r}")
    family, address = _resolved(host, port)
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # On Windows SO_REUSEADDR lets two programs listen at one port.
        word = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        listening.setsockopt(socket.SOL_SOCKET, word, 1)
        listening.bind(address)
        # Clients that connect before the network is loaded wait.
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise MdnnError(
                f"port: {port} of {host} is in use by another program or server; choose another"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise MdnnError(f"host: {host} is not an address of this computer") from None
        raise MdnnError(f"cannot listen at port {port} of {host}: {error.strerror}") from None
    return listening


def address_of(listening):
    """Returns the address of a listening socket, such as `http://127.0.0.1:8501/`."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _resolved(host, port):
    """Returns the family and the address of a host."""
    try:
        if not isinstance(host, str):
            raise ValueError
        # An address is looked up nowhere.
        version = ipaddress.ip_address(host).version
        return (socket.AF_INET6 if version == 6 else socket.AF_INET), (host, port)
    except ValueError:
        pass
    # All addresses are `0.0.0.0`, not an empty word.
    if isinstance(host, str) and host:
        with contextlib.suppress(socket.gaierror, UnicodeError):
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return family, address
    raise MdnnError(f"host: expected this computer's name or address, received {host!r}")
