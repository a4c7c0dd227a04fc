"""`mdnn serve`: a network behind a port, until Ctrl-C."""

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import sys
import time
from importlib.util import find_spec

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.runtime import quiet_import
from mdnn.serving.server.request_limits import WORDS, Limits
from mdnn.standard_streams import say


def serve(options):
    """Runs `mdnn serve`.

    Args:
        options: what `mdnn.cli.parser` makes of the command line.

    Raises:
        MdnnError: no run folder or SavedModel, an address that cannot be listened at, a limit
            below its least, packages that are missing.
    """
    words = {name: word.replace("-", "_") for name, word in WORDS.items()}
    limits = Limits(**{name: getattr(options, word) for name, word in words.items()})
    check_name(options.name)
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise MdnnError(f"serve needs {' and '.join(missing)}: pip install 'mdnn[serve]'")
    # imported late: starlette is an extra
    from mdnn.serving.server.guard import checked_host, checked_origin

    hosts = [checked_host(host) for host in options.allow_host]
    origins = [checked_origin(origin) for origin in options.allow_origin]
    path = as_path(options.run, "serve")
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise MdnnError(f"{options.run} is no run folder or SavedModel: there is {what} there")
    with contextlib.closing(listen(options.host, options.port)) as listening:
        quiet_import()
        # imported late: TensorFlow takes seconds, and uvicorn is an extra
        from mdnn.serving.server.served_models import open_network
        from mdnn.serving.server.uvicorn_server import StoppableServer

        network = open_network(path)
        say(f"mdnn: {options.run} is read; getting ready")
        begun = time.monotonic()
        for rows in network.warm_up():
            if rows >= limits.rows:
                break
        server = StoppableServer(network, options.name, limits, options.host, hosts, origins)
        host, port = listening.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(
            f"mdnn: serving {options.name} at http://{host}:{port}/ after "
            f"{time.monotonic() - begun:.1f} s; Ctrl-C stops it",
            flush=True,
        )
        asyncio.run(server.serve(sockets=[listening]))
        print(f"mdnn: stopped; {server.batcher.answered} requests were answered", flush=True)
        if not server.end():
            # A step that TensorFlow has begun cannot be stopped, nor an interpreter end with it.
            sys.stdout.flush()
            os._exit(0)


def check_name(name):
    """Refuses a model's name that an address cannot hold as it is."""
    if not name or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
        raise MdnnError(f"--name: expected letters, digits, '.', '_' and '-', received {name!r}")


def listen(host, port):
    """A socket that listens at an address.

    Raises:
        MdnnError: no such port or host, or one that cannot be had.
    """
    if not 0 <= port <= 65_535:
        raise MdnnError(f"--port: expected 0 (any that is free) to 65535, received {port}")
    family, address = _resolved(host, port)
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # On Windows SO_REUSEADDR lets two programs listen at one port.
        word = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        listening.setsockopt(socket.SOL_SOCKET, word, 1)
        listening.bind(address)
        # Who comes before the network is read waits.
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise MdnnError(
                f"--port: {port} of {host} is taken by another program; take another one"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise MdnnError(f"--host: {host} is no address of this computer") from None
        raise MdnnError(f"cannot listen at port {port} of {host}: {error.strerror}") from None
    return listening


def _resolved(host, port):
    """The family and the address of a host."""
    try:
        # An address is looked up nowhere.
        version = ipaddress.ip_address(host).version
        return (socket.AF_INET6 if version == 6 else socket.AF_INET), (host, port)
    except ValueError:
        pass
    try:
        # All addresses are `0.0.0.0`, not an empty word.
        family, *_, address = socket.getaddrinfo(host or "?", port, type=socket.SOCK_STREAM)[0]
        return family, address
    except (socket.gaierror, UnicodeError):
        raise MdnnError(
            f"--host: expected this computer's name or address, received {host!r}"
        ) from None
