"""`mdnn serve`: a network behind a port, until Ctrl-C."""

import asyncio
import contextlib
import dataclasses
import errno
import ipaddress
import os
import socket
import sys
import time
from importlib.util import find_spec

from mdnn.config.density import density_argument
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path, path_argument
from mdnn.generation.options import ENGINE_NAMES
from mdnn.runtime import quiet_import
from mdnn.serving.server.request_limits import RequestLimits
from mdnn.standard_streams import say
from mdnn.tools.tool_options import add_tools, toolbox_of
from mdnn.tools.toolbox import Toolbox

KEY_VARIABLE = "MDNN_API_KEY"
"""Environment variable of the key that requests must have."""


def add_serve(commands):
    """Adds `mdnn serve` to the subparsers of the command line."""
    serve = commands.add_parser(
        "serve",
        help="a network behind HTTP: TensorFlow Serving's and OpenAI's forms, and a page",
        description="Serves a network: TensorFlow Serving's REST forms (GET /v1/models/NAME, "
        "POST /v1/models/NAME:predict), OpenAI's (GET /v1/models, POST /v1/completions, POST "
        "/v1/chat/completions), POST /v1/models/NAME:stream, a text as it is written, and "
        "a page at / to type prompts into. A SavedModel is a program: one whose ops run other "
        "code, use the network or other files than its own is refused (mdnn inspect lists them).",
    )
    serve.add_argument(
        "run", metavar="RUN", type=path_argument, help="a run folder, or an exported SavedModel"
    )
    serve.add_argument("--port", type=int, default=8501, help="(8501); 0: any that is free")
    serve.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="the address to listen at (127.0.0.1: this computer alone may ask); 0.0.0.0: every "
        "computer that reaches this one may",
    )
    serve.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that requests may have in their header Host: that of a proxy in front of the "
        "server that hands it on (several times for several)",
    )
    serve.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="an origin whose pages may ask, such as https://write.example.org: the address that "
        "people see where a proxy stands in front of the server (several times for several)",
    )
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        help="answer only requests with the header 'Authorization: Bearer KEY' (default: the "
        f"environment variable {KEY_VARIABLE}, which other users of the computer do not see; "
        "without either: all)",
    )
    serve.add_argument("--name", metavar="NAME", default="mdnn", help="NAME in addresses (mdnn)")
    serve.add_argument(
        "--model",
        metavar="NAME=RUN",
        action="append",
        default=[],
        help="another run folder or SavedModel, and the name by which requests and the page choose "
        "it (several times for several); --density, --identity and --member are RUN's alone",
    )
    serve.add_argument(
        "--density",
        metavar="D",
        type=density_argument,
        help="one of the densities of train.density: a narrower, faster network (1); auto: each "
        "text has the one that its prompt needs",
    )
    serve.add_argument(
        "--identity",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="a file that mdnn adapt made for this network, and the name by which requests choose "
        "it (several times for several)",
    )
    serve.add_argument(
        "--engine",
        metavar="WORD",
        default="auto",
        choices=ENGINE_NAMES,
        help="engine for the texts of a run folder: native (see mdnn build-native), "
        "native-int8 (rounds activations), keras, or auto: the faster exact one that is there "
        "(auto)",
    )
    for field in dataclasses.fields(RequestLimits):
        default = f"{field.default:g}" if field.type is float else f"{field.default:,}"
        serve.add_argument(
            f"--{field.metadata['option']}",
            dest=f"limit_{field.name}",
            type=field.type,
            default=field.default,
            metavar="N",
            help=f"{field.metadata['help']} ({default})",
        )
    serve.add_argument(
        "--member", metavar="N", type=int, help="networks in tandem: use only this member, from 0"
    )
    add_tools(serve)
    serve.set_defaults(run_command=serve_network)


def serve_network(options):
    """Runs `mdnn serve`.

    Args:
        options: what `mdnn.cli.parser` makes of the command line.

    Raises:
        MdnnError: no run folder or SavedModel, an address that cannot be listened at, a limit
            below its least, packages that are missing.
    """
    names = [field.name for field in dataclasses.fields(RequestLimits)]
    limits = RequestLimits(**{name: getattr(options, f"limit_{name}") for name in names})
    api_key = checked_key(options.api_key)
    identities = named_paths(options.identity, "--identity", "NAME=FILE")
    if identities and options.density not in (None, 1):
        raise MdnnError(
            f"--identity: belongs to the whole network; received --density {options.density}"
        )
    for file in identities.values():
        if not file.is_file():
            raise MdnnError(f"--identity: no such file: {file}")
    paths = {options.name: as_path(options.run, "serve")}
    paths |= named_paths(options.model, "--model", "NAME=RUN", taken=paths)
    check_name("--name", options.name)
    for name in [*paths][1:]:
        check_name("--model", name)
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise MdnnError(f"serve needs {' and '.join(missing)}: pip install 'mdnn[serve]'")
    # imported late: starlette is an extra
    from mdnn.serving.server.guard import checked_host, checked_origin

    hosts = [checked_host(host) for host in options.allow_host]
    origins = [checked_origin(origin) for origin in options.allow_origin]
    for path in paths.values():
        if not path.is_dir():
            what = "a file" if path.exists() else "nothing"
            raise MdnnError(f"{path} is no run folder or SavedModel: there is {what} there")
    with (
        contextlib.closing(listen(options.host, options.port)) as listening,
        contextlib.closing(toolbox_of(options) or Toolbox([])) as toolbox,
    ):
        quiet_import()
        # imported late: TensorFlow takes seconds, and uvicorn is an extra
        from mdnn.serving.server.served_models import open_network
        from mdnn.serving.server.uvicorn_server import StoppableServer

        begun, networks = time.monotonic(), {}
        own = (options.member, options.density, identities)
        for name, path in paths.items():
            networks[name] = open_network(path, options.engine, *(() if networks else own))
            say(f"mdnn: {path} is read; getting ready")
            for rows in networks[name].warm_up():
                if rows >= limits.rows:
                    break
        server = StoppableServer(networks, limits, options.host, hosts, origins, api_key, toolbox)
        host, port = listening.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(
            f"mdnn: serving {', '.join(networks)} at http://{host}:{port}/ after "
            f"{time.monotonic() - begun:.1f} s; Ctrl-C stops it",
            flush=True,
        )
        asyncio.run(server.serve(sockets=[listening]))
        print(f"mdnn: stopped; {server.answered} requests were answered", flush=True)
        if not server.end():
            # A step that TensorFlow has begun cannot be stopped, nor an interpreter end with it.
            sys.stdout.flush()
            os._exit(0)


def checked_key(key):
    """Returns the key that requests must have; `None` without one.

    Args:
        key: the value of `--api-key`, or `None` for the environment variable.

    Raises:
        MdnnError: a key that a header cannot hold as it is.
    """
    where = "--api-key"
    if key is None:
        key, where = os.environ.get(KEY_VARIABLE) or None, KEY_VARIABLE
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
        raise MdnnError(f"{where}: expected visible ASCII characters without spaces")
    return key


def named_paths(words, option, form, taken=()):
    """Returns a dict from names to paths.

    Args:
        words: list of strings, the values of an option.
        option: str, the option.
        form: str, what its values look like: `NAME=FILE`.
        taken: names that stand for something else.
    """
    found = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not equals or not name or not file or name in found or name in taken:
            raise MdnnError(f"{option}: expected {form}, each name once; received {word!r}")
        found[name] = as_path(file, option)
    return found


def check_name(option, name):
    """Refuses a model's name that an address cannot hold as it is."""
    if not name or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
        raise MdnnError(f"{option}: expected letters, digits, '.', '_' and '-', received {name!r}")


def listen(host, port):
    """Returns a socket that listens at an address.

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
    """Returns the family and the address of a host."""
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
