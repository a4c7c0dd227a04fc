"""The command line: mdnn train, generate, evaluate, export, serve, quantize, inspect."""

import argparse
import contextlib
import sys

from mdnn.cli.commands import (
    run_evaluate,
    run_export,
    run_generate,
    run_inspect,
    run_quantize,
    run_train,
)
from mdnn.errors import MdnnError
from mdnn.serving.server.serve_options import add_serve


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: list of words; None for the process's own.

    Returns:
        int, the exit status: 0; 2 for input that cannot be used, with one line on standard
        error; 130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    # A terminal that cannot show a character is no reason to stop.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")
    try:
        with contextlib.suppress(BrokenPipeError):
            options.run_command(options)
        return 0
    except (MdnnError, OSError) as error:
        print(f"mdnn: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmdnn: stopped", file=sys.stderr)
        return 130


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return " ".join(str(error).split())


def parser():
    """The parser of all commands."""
    top = _Parser(prog="mdnn", description="Multidimensional neural networks on your own computer.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network into a run folder")
    train.add_argument("config", metavar="CONFIG", help="a config file (.toml)")
    train.add_argument("--out", metavar="RUN", required=True, help="the run folder to make")
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in RUN, with its own config; --set train.minutes or train.steps",
    )
    _set(train)
    _json(train)
    train.set_defaults(run_command=run_train)

    generate = commands.add_parser("generate", help="texts, pictures and sounds from a network")
    generate.add_argument("run", metavar="RUN", help="a run folder")
    generate.add_argument(
        "--prompt",
        metavar="TEXT",
        dest="items",
        action=_Item,
        help="a text to continue, or one item of the prompt; options --prompt and --item keep "
        "their order",
    )
    generate.add_argument(
        "--item",
        metavar="FILE",
        dest="items",
        action=_Item,
        help="an item of the prompt: a .txt, .png, .jpg, .gif, .webp, .bmp, .wav, .flac or .mp3",
    )
    generate.add_argument(
        "--convert",
        action="store_true",
        help="convert --item files where that loses something: transparency, 16 bit pixels, "
        "colours for a grey network, stereo, 24 bit samples",
    )
    generate.add_argument(
        "--output",
        action="append",
        help="what comes back: text, 'text 5', 'grey 8x8', 'image 16x16', audio, 'audio 800', "
        "'video 4x8x8'; several times for several (default: the network decides)",
    )
    generate.add_argument(
        "--decoding",
        default="autoregressive",
        help="autoregressive: one unit after another (default); parallel: all at once; "
        "masked_diffusion: over several passes, the most certain first",
    )
    generate.add_argument("--preset", help="factual, creative or reasoning")
    generate.add_argument(
        "--out", metavar="FILE", help="where to: .txt, .png or .wav; several are numbered"
    )
    generate.add_argument(
        "--length", type=int, help="characters (default 400), or units of an item at most"
    )
    generate.add_argument("--temperature", type=float, help="0: greedy; higher: more daring (0.8)")
    generate.add_argument("--greedy", action="store_true", help="the same as --temperature 0")
    generate.add_argument("--top-k", type=int, help="among the k likeliest (0: all)")
    generate.add_argument(
        "--top-p", type=float, help="among the likeliest of this probability (1: all)"
    )
    generate.add_argument(
        "--steps", type=int, help="runs of the network on its own output (as in training)"
    )
    generate.add_argument(
        "--num-starts", type=int, default=1, help="of a puzzle, random states to begin in (1)"
    )
    generate.add_argument(
        "--adaptive", action="store_true", help="of a puzzle, until the halting head says stop"
    )
    generate.add_argument(
        "--num-denoising-steps", type=int, help="passes of --decoding masked_diffusion (16)"
    )
    generate.add_argument("--seed", type=int, default=0, help="another seed, another answer (0)")
    generate.set_defaults(run_command=run_generate)

    evaluate = commands.add_parser("evaluate", help="nats and bits per character or unit")
    evaluate.add_argument("run", metavar="RUN", help="a run folder")
    evaluate.add_argument(
        "--data",
        metavar="SOURCE",
        help="a whole text: a file, a folder, tfds:NAME or python-docs; of items: digits, a "
        "folder with a manifest or tfds:NAME; of puzzles: maze-25x25 and the like, or FILE.csv "
        "(default: the run's own validation part)",
    )
    evaluate.add_argument(
        "--steps",
        metavar="LIST",
        help="runs of the network on its own output, several for a table: 1,2,4,8",
    )
    evaluate.add_argument(
        "--num-starts",
        type=int,
        default=1,
        help="of puzzles, random states to begin in; the answer is that of the stillest (1)",
    )
    evaluate.add_argument(
        "--adaptive", action="store_true", help="of puzzles, until the halting head says stop"
    )
    _json(evaluate)
    evaluate.set_defaults(run_command=run_evaluate)

    export = commands.add_parser("export", help="a SavedModel for serving")
    export.add_argument("run", metavar="RUN", help="a run folder")
    export.add_argument("directory", metavar="DIR", help="where to; DIR/1 is made")
    export.add_argument(
        "--no-xla",
        action="store_true",
        help="a SavedModel that writes texts without XLA, for servers that have none (slower)",
    )
    export.set_defaults(run_command=run_export)

    quantize = commands.add_parser("quantize", help="a run with small weights, and what it costs")
    quantize.add_argument("run", metavar="RUN", help="a run folder")
    quantize.add_argument("--to", metavar="DTYPE", required=True, help="int8, int4 or float16")
    quantize.add_argument(
        "--out", metavar="RUN", help="the run folder to make (default: RUN-int8, ...)"
    )
    quantize.add_argument(
        "--data", metavar="SOURCE", help="what to evaluate on, as for mdnn evaluate"
    )
    _json(quantize)
    quantize.set_defaults(run_command=run_quantize)
    add_serve(commands)

    inspect = commands.add_parser("inspect", help="layers, parameters, cost and reach")
    inspect.add_argument(
        "what",
        metavar="CONFIG|RUN|SAVED",
        help="a config file, a run folder, or a SavedModel, whose ops are listed, not run",
    )
    _set(inspect)
    _json(inspect)
    inspect.set_defaults(run_command=run_inspect)
    return top


def _set(command):
    command.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a config key: train.minutes=1, data.source=book.txt",
    )


def _json(command):
    command.add_argument("--json", action="store_true", help="the result as one JSON object")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else does."""

    def error(self, message):
        self.exit(2, f"mdnn: error: {message}; {self.prog} --help says more\n")


class _Item(argparse.Action):
    """Keeps texts and files of a prompt in the order of the command line."""

    def __call__(self, parser, options, value, option=None):
        kept = getattr(options, self.dest) or []
        setattr(options, self.dest, [*kept, (option, value)])


if __name__ == "__main__":
    sys.exit(main())
