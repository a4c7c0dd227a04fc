"""`mdnn import`: converts weights of another project into a run folder."""

import json

from mdnn.cli.shared_options import add_json
from mdnn.file_systems import path_argument
from mdnn.runtime import quiet_import


def add_import(commands):
    """Adds the command to the parser of all commands."""
    parser = commands.add_parser(
        "import", help="make a run from GGUF, Hugging Face or llama2.c files"
    )
    parser.add_argument(
        "path",
        metavar="FILE|FOLDER",
        type=path_argument,
        help="a GGUF file, a Hugging Face folder, or a .bin of llama2.c",
    )
    parser.add_argument(
        "--out", metavar="RUN", type=path_argument, required=True, help="the run folder to make"
    )
    parser.add_argument(
        "--context",
        metavar="POSITIONS",
        type=int,
        help="positions of the context (the network's own number, at most 2048)",
    )
    parser.add_argument(
        "--to",
        metavar="DTYPE",
        help="float32, float16, int8 or int4 for the weights (default: as they are)",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        type=path_argument,
        help="the tokenizer of a file of llama2.c (default: tokenizer.bin beside it)",
    )
    add_json(parser)
    parser.set_defaults(run_command=run_import)


def run_import(options):
    """Makes the run and prints a summary."""
    quiet_import()
    from mdnn.foreign.import_run import import_weights
    from mdnn.training.progress import Ticker

    facts = import_weights(
        options.path,
        options.out,
        context=options.context,
        to=options.to,
        tokenizer=options.tokenizer,
        progress=Ticker("importing"),
    )
    if options.json:
        print(json.dumps(facts))
        return
    print(
        f"{facts['parameters']:,} parameters in {facts['blocks']} blocks of width "
        f"{facts['width']}, {facts['vocabulary']:,} subwords, {facts['context']:,} positions; "
        f"{facts['bytes'] / 1e6:,.1f} MB of weights ({facts['dtype']}); saved in {facts['run']}"
    )
