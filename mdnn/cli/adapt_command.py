"""`mdnn adapt`: learns an identity, a few numbers that adapt a network to another text."""

import json

from mdnn.cli.shared_options import add_chat_data, add_json, add_set
from mdnn.errors import MdnnError
from mdnn.file_systems import path_argument
from mdnn.runtime import quiet_import
from mdnn.training.signals import exit_status

LEARNING = ("minutes", "steps", "learning_rate", "lora", "slots", "chat")
"""Options of learning, which `--merge` does not do."""


def add_adapt(commands):
    """Adds the command to the parser of all commands."""
    adapt = commands.add_parser("adapt", help="learn an identity: a few numbers for another text")
    adapt.add_argument("run", metavar="RUN", type=path_argument, help="a run folder")
    adapt.add_argument(
        "--data", metavar="SOURCE", type=path_argument, help="the data to learn, as in data.source"
    )
    adapt.add_argument(
        "--out",
        metavar="NAME.safetensors",
        type=path_argument,
        required=True,
        help="the file to write; with --merge the run folder to make",
    )
    adapt.add_argument("--minutes", metavar="N", type=float, help="train for N minutes (1)")
    adapt.add_argument(
        "--steps", metavar="N", type=int, help="train for N steps, in place of minutes"
    )
    adapt.add_argument(
        "--learning-rate",
        metavar="RATE",
        type=float,
        help="the learning rate (10 times that of the run; with --lora that of the run)",
    )
    adapt.add_argument(
        "--lora",
        metavar="RANK",
        type=int,
        help="learn matrices of rank RANK per dense layer, not an offset and a gain per block",
    )
    adapt.add_argument(
        "--slots",
        metavar="N",
        type=int,
        default=0,
        help="learn N vectors as well, which take the first positions of a text's context (0)",
    )
    add_chat_data(adapt)
    adapt.add_argument(
        "--merge",
        metavar="NAME.safetensors",
        type=path_argument,
        help="make an ordinary run of RUN and this identity, without training",
    )
    add_set(adapt, "change a key of data or train: train.batch_size=4")
    add_json(adapt)
    adapt.set_defaults(run_command=run_adapt)


def run_adapt(options):
    """Learns or merges an identity; returns the exit status."""
    if options.merge is None and options.data is None:
        raise MdnnError("adapt: expected --data SOURCE, or --merge NAME.safetensors")
    if options.merge is not None:
        _check_merge(options)
        quiet_import()
        from mdnn.training.adapting.merge_run import merge

        path = str(merge(options.run, options.merge, options.out))
        print(json.dumps({"run": path}) if options.json else f"merged; saved in {path}")
        return 0

    def prepare():
        from mdnn.training.microbatches import configure_threads

        configure_threads()

    quiet_import(prepare)
    import signal

    from mdnn.training.adapting.adapt_run import adapt

    chosen = {name: getattr(options, name) for name in LEARNING}
    facts = adapt(options.run, options.data, options.out, overrides=options.set, **chosen)
    if options.json:
        print(json.dumps(facts))
    else:
        print(
            f"{facts['loss_before']:.4f} nats before, {facts['loss']:.4f} with "
            f"{facts['numbers']:,} numbers ({facts['share']:.2%} of the weights), "
            f"{facts['steps']:,} steps in {facts['seconds']:.0f} s; saved in {facts['identity']}"
        )
    return exit_status(getattr(signal, facts["signal"])) if facts["stopped"] else 0


def _check_merge(options):
    given = [name for name in ("data", *LEARNING, "set") if getattr(options, name)]
    if given:
        raise MdnnError(
            f"adapt: --merge learns nothing, expected no --{given[0].replace('_', '-')} with it"
        )
