"""The words of `mdnn serve`."""

import dataclasses

from mdnn.serving.server.request_limits import WORDS, Limits

HELP = {
    "body": "bytes of a request",
    "prompt": "characters of a prompt",
    "length": "characters of an answer",
    "seconds": "from a request to the end of its answer",
    "rows": "prompts that are answered together, and of one request",
    "waiting": "requests that wait for their turn",
    "gather": "milliseconds that an idle server waits for requests to answer with the first",
}


def add_serve(commands):
    """Adds `mdnn serve` to the subparsers of the command line."""
    serve = commands.add_parser(
        "serve",
        help="a network behind HTTP: TensorFlow Serving's REST forms, and a page",
        description="Serves a network: TensorFlow Serving's REST forms (GET /v1/models/NAME, "
        "POST /v1/models/NAME:predict), POST /v1/models/NAME:stream, a text as it is written, and "
        "a page at / to type prompts into. A SavedModel is a program: one whose ops run other "
        "code, use the network or other files than its own is refused (mdnn inspect lists them).",
    )
    serve.add_argument("run", metavar="RUN", help="a run folder, or an exported SavedModel")
    serve.add_argument("--port", type=int, default=8501, help="(8501); 0: any that is free")
    serve.add_argument(
        "--host",
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
    serve.add_argument("--name", default="mdnn", help="NAME in addresses (mdnn)")
    for field in dataclasses.fields(Limits):
        serve.add_argument(
            f"--{WORDS[field.name]}",
            type=field.type,
            default=field.default,
            metavar="N",
            help=f"{HELP[field.name]} ({field.default:g})"
            if field.type is float
            else f"{HELP[field.name]} ({field.default:,})",
        )
    serve.set_defaults(run_command=_serve)


def _serve(options):
    # imported late: the other commands need none of it
    from mdnn.serving.server.serve_command import serve

    serve(options)
