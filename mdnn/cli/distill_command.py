"""`mdnn distill`: one small network that learns from a trained one, or from several in tandem."""

from mdnn.cli.shared_options import add_json, add_set
from mdnn.file_systems import as_path, path_argument
from mdnn.files import check_new_folder
from mdnn.runtime import quiet_import


def add_distill(commands):
    """Adds the command to the parser of all commands."""
    distill = commands.add_parser(
        "distill", help="train one network on the probabilities of another, or of several"
    )
    distill.add_argument("run", metavar="RUN", type=path_argument, help="the teacher's run folder")
    distill.add_argument(
        "--out", metavar="RUN2", type=path_argument, required=True, help="the run folder to make"
    )
    distill.add_argument(
        "--members", metavar="N", type=int, default=0, help="learn from the first N members (all)"
    )
    distill.add_argument(
        "--weight",
        metavar="N",
        type=float,
        default=0.7,
        help="weight of the teacher in the loss, 0 to 1 (0.7)",
    )
    add_set(distill, "a key of the student's config: train.minutes=10, backbone.width=96")
    add_json(distill)
    distill.set_defaults(run_command=run_distill)


def run_distill(options):
    """Trains the student; returns the exit status."""
    check_new_folder(as_path(options.out, "--out"))
    quiet_import()
    from mdnn.cli.commands import configure_training_threads, finish_training
    from mdnn.training.adapting.distill_run import student_config
    from mdnn.training.run_training import train

    config = student_config(options.run, options.members, options.weight, options.set)
    configure_training_threads(config)
    return finish_training(config, train(config, options.out), options.json)
