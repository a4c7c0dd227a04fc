"""`mdnn serve`: a network behind a port, until Ctrl-C."""

import asyncio
import contextlib
import dataclasses
import os
import sys
import time

from mdnn.config.density import density_argument
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path, path_argument
from mdnn.generation.options import ENGINE_NAMES
from mdnn.runtime import quiet_import
from mdnn.serving.requests.request_limits import RequestLimits
from mdnn.serving.server.listening import address_of, listen
from mdnn.serving.server.serve_settings import KEY_VARIABLE, ServeSettings
from mdnn.standard_streams import say
from mdnn.tools.tool_options import add_tools, toolbox_of
from mdnn.tools.toolbox import Toolbox


def add_serve(commands):
    """Adds `mdnn serve` to the subparsers of the command line."""
    serve = commands.add_parser(
        "serve",
        help="serve a network over HTTP: TensorFlow Serving's and OpenAI's forms, and a page",
        description="Serves a network: TensorFlow Serving's REST forms (GET /v1/models/NAME, "
        "POST /v1/models/NAME:predict), OpenAI's (GET /v1/models, POST /v1/completions, POST "
        "/v1/chat/completions), POST /v1/models/NAME:stream, which sends a text as it is "
        "written, and a page at / to type prompts into. A SavedModel is a program: one whose ops "
        "run other code, use the network or use other files than its own is refused (mdnn "
        "inspect lists them).",
    )
    serve.add_argument(
        "run", metavar="RUN", type=path_argument, help="a run folder, or an exported SavedModel"
    )
    serve.add_argument(
        "--port",
        metavar="PORT",
        type=int,
        default=8501,
        help="the port to listen at; 0: any that is free (8501)",
    )
    serve.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="the address to listen at; 0.0.0.0: any computer that reaches this one may send "
        "requests (127.0.0.1: only this computer may)",
    )
    serve.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that requests may have in their Host header, such as that of a proxy in front "
        "of the server that passes it on (may be repeated)",
    )
    serve.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="an origin whose pages may send requests, such as https://write.example.org: the "
        "address that people see where a proxy stands in front of the server (may be repeated)",
    )
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        help="answer only requests with the header 'Authorization: Bearer KEY' (default: the "
        f"environment variable {KEY_VARIABLE}, which other users of the computer do not see; "
        "without either, every request is answered)",
    )
    serve.add_argument(
        "--name",
        metavar="NAME",
        default="mdnn",
        help="the name of RUN in requests and in addresses such as /v1/models/NAME (mdnn)",
    )
    serve.add_argument(
        "--model",
        metavar="NAME=RUN",
        action="append",
        default=[],
        help="another run folder or SavedModel, and the name by which requests and the page choose "
        "it (may be repeated); --density, --identity and --member apply to RUN alone",
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
        "it (may be repeated)",
    )
    serve.add_argument(
        "--engine",
        metavar="NAME",
        default="auto",
        choices=ENGINE_NAMES,
        help="engine for the texts of a run folder: native (see mdnn build-native), "
        "native-int8 (rounds activations), keras, or auto: the fastest exact one available "
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
        "--member", metavar="N", type=int, help="networks in tandem: use only member N, from 0"
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
    settings = _settings_of(options)
    with (
        contextlib.closing(listen(options.host, options.port)) as listening,
        contextlib.closing(toolbox_of(options) or Toolbox([])) as toolbox,
    ):
        quiet_import()
        begun = time.monotonic()
        server = settings.server(settings.open(say), toolbox)
        print(
            f"mdnn: serving {', '.join(settings.networks)} at {address_of(listening)} after "
            f"{time.monotonic() - begun:.1f} s; Ctrl-C stops it",
            flush=True,
        )
        asyncio.run(server.serve(sockets=[listening]))
        print(f"mdnn: stopped; {server.answered} requests were answered", flush=True)
        if not server.end():
            # A step that TensorFlow has begun cannot be stopped, nor an interpreter end with it.
            sys.stdout.flush()
            os._exit(0)


def _settings_of(options):
    """Returns the `ServeSettings` of the command line."""
    names = [field.name for field in dataclasses.fields(RequestLimits)]
    networks = {options.name: options.run}
    return ServeSettings(
        networks | named_paths(options.model, "--model", "NAME=RUN", taken=networks),
        options.density,
        named_paths(options.identity, "--identity", "NAME=FILE"),
        options.member,
        options.engine,
        options.host,
        options.allow_host,
        options.allow_origin,
        options.api_key,
        RequestLimits(**{name: getattr(options, f"limit_{name}") for name in names}),
    )


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
