"""The command line: mdnn train, generate, evaluate, export, serve, plan and so on."""

import argparse
import contextlib
import sys

import mdnn
from mdnn import standard_streams
from mdnn.assistant.chat_command import add_chat
from mdnn.cli.adapt_command import add_adapt
from mdnn.cli.commands import (
    run_configs,
    run_demo,
    run_evaluate,
    run_export,
    run_quantize,
    run_train,
)
from mdnn.cli.distill_command import add_distill
from mdnn.cli.generate_command import add_generate
from mdnn.cli.grow_command import add_grow
from mdnn.cli.import_command import add_import
from mdnn.cli.inspect_command import run_inspect
from mdnn.cli.native_command import add_build_native
from mdnn.cli.plan_command import add_plan
from mdnn.cli.process_options import add_processes
from mdnn.cli.search_command import add_search
from mdnn.cli.shared_options import (
    add_chat_data,
    add_density,
    add_identity,
    add_json,
    add_member,
    add_set,
)
from mdnn.cli.shrink_command import add_shrink
from mdnn.errors import MdnnError
from mdnn.file_systems import path_argument
from mdnn.serving.server.serve_command import add_serve
from mdnn.training.signals import TerminationSignal, exit_status, raising_signals, signal_number


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: list of words; None for the process's own.

    Returns:
        int, the exit status: 0; 2 for input that cannot be used, with one line on standard error;
        130 after Ctrl-C and 143 after SIGTERM, a training among them that saved everything.
    """
    standard_streams.open_missing()
    standard_streams.show_any_character()
    try:
        options = _parsed(arguments)
        with raising_signals():
            status = options.run_command(options) or 0
        standard_streams.flush()
    except BrokenPipeError:
        # The reader of the output has closed the pipe.
        status = 0
    except (MdnnError, OSError) as error:
        standard_streams.say(f"mdnn: error: {_one_line(error)}")
        status = 2
    except (KeyboardInterrupt, TerminationSignal) as error:
        standard_streams.say("\nmdnn: stopped")
        status = exit_status(signal_number(error))
    finally:
        with contextlib.suppress(OSError):
            standard_streams.flush()
    return status


def _parsed(arguments):
    try:
        options = parser().parse_args(arguments)
        options.words = list(sys.argv[1:] if arguments is None else arguments)
        return options
    except SystemExit:
        # --help and --version print, too.
        standard_streams.flush()
        raise


def _one_line(error):
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        error = f"{error.strerror}{where}"
    # It may name a file, and a file's name may be anything.
    return " ".join(str(MdnnError(error)).split())


def parser():
    """The parser of all commands."""
    top = _Parser(prog="mdnn", description="Multidimensional neural networks on your own computer.")
    top.add_argument("--version", action="version", version=f"mdnn {mdnn.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network into a run folder")
    train.add_argument(
        "config",
        metavar="CONFIG",
        type=path_argument,
        help="a config file (.toml), or the name of one that comes with mdnn: text",
    )
    train.add_argument(
        "--out", metavar="RUN", type=path_argument, required=True, help="the run folder to make"
    )
    train.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in RUN with its own config; --set train.minutes, train.steps "
        "or data.source",
    )
    train.add_argument(
        "--init-from",
        metavar="OTHER",
        type=path_argument,
        help="start with the weights of another run: a run folder or a .keras file (fine-tuning)",
    )
    train.add_argument(
        "--init-optimizer",
        action="store_true",
        help="take the optimizer's state from the newest checkpoint of OTHER as well",
    )
    add_processes(train)
    add_set(train)
    add_json(train)
    train.set_defaults(run_command=run_train)

    add_generate(commands)
    add_chat(commands)

    evaluate = commands.add_parser("evaluate", help="measure nats per token and bits per character")
    evaluate.add_argument("run", metavar="RUN", type=path_argument, help="a run folder")
    evaluate.add_argument(
        "--data",
        metavar="SOURCE",
        type=path_argument,
        help="texts: a file, a folder, tfds:NAME or python-docs, read whole; items: digits, a "
        "folder with a manifest or tfds:NAME; puzzles: maze-25x25 and the like, or FILE.csv "
        "(default: the run's own validation part)",
    )
    evaluate.add_argument(
        "--steps",
        metavar="LIST",
        help="runs of the network on its own output; several, as in 1,2,4,8, make a table",
    )
    evaluate.add_argument(
        "--num-starts",
        metavar="N",
        type=int,
        help="puzzles: try N random initial states; the one whose state changes least gives the "
        "answer (1)",
    )
    evaluate.add_argument(
        "--adaptive", action="store_true", help="puzzles: run each until the halting head stops it"
    )
    evaluate.add_argument(
        "--by-position",
        action="store_true",
        help="texts: report the loss by the position in the context, too",
    )
    evaluate.add_argument(
        "--plot",
        metavar="FILE",
        type=path_argument,
        help="write a picture (.png) or a table (.csv) of the loss by the position in the context",
    )
    add_chat_data(evaluate)
    add_member(evaluate)
    add_density(evaluate, "auto: each window of a text has the one that it needs")
    add_identity(evaluate)
    add_json(evaluate)
    evaluate.set_defaults(run_command=run_evaluate)

    export = commands.add_parser("export", help="write a SavedModel for serving")
    export.add_argument("run", metavar="RUN", type=path_argument, help="a run folder")
    export.add_argument(
        "directory", metavar="DIR", type=path_argument, help="the output folder; DIR/1 is made"
    )
    export.add_argument(
        "--no-xla",
        action="store_true",
        help="make a SavedModel that generates texts without XLA, for servers without it (slower)",
    )
    add_member(export)
    add_density(export, None)
    add_identity(export)
    export.set_defaults(run_command=run_export)

    quantize = commands.add_parser(
        "quantize", help="make a run with small weights, and measure what they cost"
    )
    quantize.add_argument("run", metavar="RUN", type=path_argument, help="a run folder")
    quantize.add_argument("--to", metavar="DTYPE", required=True, help="int8, int4 or float16")
    quantize.add_argument(
        "--out",
        metavar="RUN2",
        type=path_argument,
        help="the run folder to make (default: RUN-int8, ...)",
    )
    quantize.add_argument(
        "--data",
        metavar="SOURCE",
        type=path_argument,
        help="the data to evaluate on, as for mdnn evaluate",
    )
    add_member(quantize)
    add_json(quantize)
    quantize.set_defaults(run_command=run_quantize)
    add_distill(commands)
    add_grow(commands)
    add_import(commands)
    add_plan(commands)
    add_shrink(commands)
    add_adapt(commands)
    add_serve(commands)
    add_search(commands)
    add_build_native(commands)

    inspect = commands.add_parser(
        "inspect", help="show layers, parameters, cost and receptive field"
    )
    inspect.add_argument(
        "what",
        metavar="CONFIG|RUN|SAVED",
        type=path_argument,
        help="a config file, a run folder, an identity (mdnn adapt), or a SavedModel, whose ops "
        "are listed, not run",
    )
    inspect.add_argument(
        "--text",
        metavar="FILE",
        type=path_argument,
        help="show the chunks into which a run with a layer of chunks divides a text",
    )
    add_member(inspect)
    add_set(inspect)
    add_json(inspect)
    inspect.set_defaults(run_command=run_inspect)
    configs = commands.add_parser("configs", help="list the configs that come with mdnn")
    configs.add_argument(
        "name", metavar="NAME", nargs="?", help="print this one: mdnn configs text > mine.toml"
    )
    add_json(configs)
    configs.set_defaults(run_command=run_configs)

    demo = commands.add_parser("demo", help="train for some minutes and show what was learned")
    demo.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        default="text",
        choices=("text", "digits", "thinking", "llama"),
        help="text (default), digits (words and pictures), thinking (sudokus) or llama (SmolLM2)",
    )
    demo.set_defaults(run_command=run_demo)
    return top


class _Parser(argparse.ArgumentParser):
    """Argument parser that reports an error in one line, as the commands do."""

    def parse_known_args(self, args=None, namespace=None):
        """Parses words; a value may begin with a dash, unless it is an option of the command."""
        words = list(sys.argv[1:] if args is None else args)
        known, joined = self._option_string_actions, []
        while words:
            word = words.pop(0)
            if word == "--":
                joined += [word, *words]
                break
            takes_value = word in known and known[word].nargs is None and word.startswith("--")
            if takes_value and words and words[0].startswith("-") and words[0] not in known:
                word = f"{word}={words.pop(0)}"
            joined.append(word)
        return super().parse_known_args(joined, namespace)

    def error(self, message):
        self.exit(2, f"mdnn: error: {message}; {self.prog} --help says more\n")


if __name__ == "__main__":
    sys.exit(main())
