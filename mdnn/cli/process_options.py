"""Options of `mdnn train` for several processes on one or many machines."""

import os

from mdnn.cli.process_launcher import WORKER, launch, on_worker
from mdnn.errors import MdnnError


def add_processes(command):
    """Adds `--num-processes`, `--process-id` and `--coordinator` to a command."""
    command.add_argument(
        "--num-processes",
        metavar="N",
        type=int,
        help="train with N processes, on JAX; without --process-id all of them start here",
    )
    command.add_argument(
        "--process-id",
        metavar="K",
        type=int,
        help="start only process K of them, from 0; the others are started on other machines",
    )
    command.add_argument(
        "--coordinator",
        metavar="ADDRESS:PORT",
        help="address of process 0, the same for all processes: 192.168.0.10:12321",
    )


def run_in_processes(options, train):
    """Trains in this process, or starts the processes that do and waits for them.

    Args:
        options: the parsed command line of a command with `add_processes`.
        train: function of `options` that trains in this process and returns the exit status.

    Returns:
        int, the exit status.

    Raises:
        MdnnError: numbers or an address that cannot be used; a process that failed.
    """
    if WORKER in os.environ:
        return on_worker(lambda: train(options))
    number = options.num_processes
    if number is None:
        if options.process_id is not None or options.coordinator is not None:
            raise MdnnError(
                "--num-processes: expected the number of all processes with --process-id and "
                "--coordinator, received none"
            )
        return train(options)
    if number == 1 and options.process_id in (None, 0):
        return train(options)
    from mdnn.config.load import check_keys

    check_keys(options.config, options.set)
    return launch(options.words, number, options.process_id, options.coordinator, options.out)
