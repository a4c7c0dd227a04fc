"""The command line: mdnn train, generate, evaluate, export, serve, quantize, inspect."""

import argparse
import contextlib
import json
import sys

from mdnn.errors import MdnnError
from mdnn.files import check_new_folder
from mdnn.quiet import quiet_import
from mdnn.serving.server.words import add_serve


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
    top = argparse.ArgumentParser(
        prog="mdnn", description="Multidimensional neural networks on your own computer."
    )
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
    train.set_defaults(run_command=_train)

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
        help="an item of the prompt: a .txt, .png, .jpg or .wav",
    )
    generate.add_argument(
        "--want",
        action="append",
        help="what comes back: text, 'text 5', 'grey 8x8', 'image 16x16', audio, 'audio 800', "
        "'video 4x8x8'; several times for several (default: the network decides)",
    )
    generate.add_argument(
        "--how",
        default="turn",
        help="turn: one unit after another (default); once: all at once; unmask: over several "
        "passes, the most certain first",
    )
    generate.add_argument("--style", help="factual, creative or reasoning")
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
    generate.add_argument("--refeeds", type=int, help="runs of the network on its own output")
    generate.add_argument(
        "--restarts", type=int, default=1, help="of a puzzle, random states to begin in (1)"
    )
    generate.add_argument(
        "--halt", action="store_true", help="of a puzzle, until the halting head says stop"
    )
    generate.add_argument("--passes", type=int, help="passes of --how unmask (16)")
    generate.add_argument("--seed", type=int, default=0, help="another seed, another answer (0)")
    generate.set_defaults(run_command=_generate)

    evaluate = commands.add_parser("evaluate", help="nats and bits per character or unit")
    evaluate.add_argument("run", metavar="RUN", help="a run folder")
    evaluate.add_argument(
        "--data",
        metavar="SOURCE",
        help="a whole text: a file, a folder, tfds:NAME or python-docs; of items: digits, a "
        "folder with a manifest or tfds:NAME (default: the run's own validation part)",
    )
    evaluate.add_argument(
        "--refeeds",
        metavar="LIST",
        help="runs of the network on its own output, several for a table: 1,2,4,8",
    )
    evaluate.add_argument(
        "--restarts",
        type=int,
        default=1,
        help="of puzzles, random states to begin in; the answer is that of the stillest (1)",
    )
    evaluate.add_argument(
        "--halt", action="store_true", help="of puzzles, until the halting head says stop"
    )
    _json(evaluate)
    evaluate.set_defaults(run_command=_evaluate)

    export = commands.add_parser("export", help="a SavedModel for serving")
    export.add_argument("run", metavar="RUN", help="a run folder")
    export.add_argument("directory", metavar="DIR", help="where to; DIR/1 is made")
    export.add_argument(
        "--no-xla",
        action="store_true",
        help="a SavedModel that writes texts without XLA, for servers that have none (slower)",
    )
    export.set_defaults(run_command=_export)

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
    quantize.set_defaults(run_command=_quantize)
    add_serve(commands)

    inspect = commands.add_parser("inspect", help="layers, parameters, cost and reach")
    inspect.add_argument(
        "what",
        metavar="CONFIG|RUN|SAVED",
        help="a config file, a run folder, or a SavedModel, whose ops are listed, not run",
    )
    _set(inspect)
    _json(inspect)
    inspect.set_defaults(run_command=_inspect)
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


def _train(options):
    from mdnn.models.config import load_config

    config = load_config(options.config, options.set)
    if options.resume:
        _check_resumed(options.set)
    else:
        check_new_folder(options.out)
    quiet_import()
    from mdnn.training.display import print_ways
    from mdnn.training.loop import train

    result = train(config, options.out, resume=options.resume)
    if options.json:
        print(json.dumps(result))
        return
    if "items" in result:
        print_ways(result["ways"])
        figures = ""
    elif "puzzles" in result:
        from mdnn.training.puzzle_scores import in_words

        figures = f"{in_words(result)}; "
    else:
        figures = (
            f"{result['nats']:.4f} nats, {result['bits_per_character']:.4f} bits per character on "
            f"{result['characters']:,} validation characters; "
        )
    print(
        f"{figures}{result['parameters']:,} parameters, "
        f"{result['steps']:,} steps in {result['seconds']:.0f} s; saved in {result['run']}"
    )


def _check_resumed(changes):
    """Refuses changes that a run that goes on with its own config could not take."""
    for change in changes:
        if change.partition("=")[0].strip() not in ("train.minutes", "train.steps"):
            raise MdnnError(
                "--resume goes on with the run's own config: only train.minutes and train.steps "
                f"can be set, received {change!r}"
            )


class _Item(argparse.Action):
    """Keeps texts and files of a prompt in the order of the command line."""

    def __call__(self, parser, options, value, option=None):
        kept = getattr(options, self.dest) or []
        setattr(options, self.dest, [*kept, (option, value)])


def _generate(options):
    quiet_import()
    from mdnn.generation.command import write_answer

    write_answer(options)


def _evaluate(options):
    quiet_import()
    from mdnn.models.run import open_run
    from mdnn.training.display import Ticker, print_text_figures, print_ways
    from mdnn.training.evaluation import evaluate, open_text_or_lines
    from mdnn.training.puzzle_scores import curve_lines

    refeeds = None if options.refeeds is None else _numbers("--refeeds", options.refeeds)
    run = open_run(options.run)
    data = {} if options.data is None else open_text_or_lines(run.config, options.data)
    thought = {"refeeds": refeeds, "restarts": options.restarts, "halt": options.halt}
    result = evaluate(run, progress=Ticker("evaluating"), **data, **thought)
    if options.json:
        print(json.dumps(result))
    elif "curve" in result:
        print("\n".join(curve_lines(result["curve"])))
    elif "items" in result:
        print_ways(result["ways"])
    elif "puzzles" in result:
        from mdnn.training.puzzle_scores import in_words

        print(in_words(result))
    else:
        print_text_figures(result, run.config.context.slots)


def _numbers(option, words):
    """The whole numbers of a list such as 1,2,4."""
    from mdnn.errors import MdnnError

    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise MdnnError(f"{option}: expected numbers as 1,2,4; received {words!r}") from None


def _export(options):
    quiet_import()
    from mdnn.serving.export import export

    print(export(options.run, options.directory, xla=not options.no_xla))


def _quantize(options):
    quiet_import()
    from mdnn.training.quantize_command import write_small

    write_small(options)


def _inspect(options):
    from pathlib import Path

    from mdnn.models.config import load_config
    from mdnn.serving.saved_model_ops import is_saved_model

    folder = Path(options.what).is_dir()
    if folder and options.set:
        raise MdnnError("--set changes a config; a run folder is inspected as it is")
    config = None if folder else load_config(options.what, options.set)
    quiet_import()
    if (
        folder
        and not (Path(options.what) / "config.toml").exists()
        and is_saved_model(options.what)
    ):
        _inspect_saved_model(options)
        return
    from mdnn.models.inspection import inspect
    from mdnn.models.run import open_run

    if folder:
        run = open_run(options.what)
        facts = inspect(run.config, run.words, run.model)
    else:
        facts = inspect(config)
    if options.json:
        print(json.dumps(facts))
        return
    row = "{:<24} {:<20} {:<16} {:>12} {:>16}".format
    print(row("layer", "kind", "shape", "parameters", "operations"))
    for layer in facts["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        counts = f"{layer['parameters']:,}", f"{layer['operations']:,}"
        print(row(layer["name"], layer["kind"], shape, *counts))
    grid = " x ".join(map(str, facts["grid"]))
    print(
        f"\n{facts['parameters']:,} parameters; a context of {facts['slots']:,} slots ({grid}), "
        f"run {facts['refeeds']} time{'s' if facts['refeeds'] > 1 else ''}\n"
        f"{facts['operations_per_slot']:,} multiply-adds and {facts['bytes_per_slot']:,} bytes "
        f"per slot\nreach: the last slot's answer depends on {facts['reach']:,} of "
        f"{facts['slots']:,} slots"
    )


def _inspect_saved_model(options):
    from mdnn.serving.saved_model_ops import inspect_saved_model, saved_model_lines

    facts = inspect_saved_model(options.what)
    print(json.dumps(facts) if options.json else "\n".join(saved_model_lines(facts)))


if __name__ == "__main__":
    sys.exit(main())
