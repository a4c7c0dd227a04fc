"""Parses and checks the address at which the processes of a training meet."""

import os
import socket
import time

from mdnn.errors import MdnnError


class LostProcessError(MdnnError):
    """Raised in a process that has lost another one; the other one reports the cause."""


def processes_of_environment():
    """Returns number of processes, number of this one and coordinator as the environment says.

    `JAX_NUM_PROCESSES`, `JAX_PROCESS_ID` and `JAX_COORDINATOR_ADDRESS`, or the variables that SLURM
    and Open MPI set for each process; of the latter JAX finds the coordinator.

    Returns:
        Tuple of an int, an int and a str; three times `None` for a single process.
    """
    values = os.environ
    if "JAX_COORDINATOR_ADDRESS" in values and "JAX_NUM_PROCESSES" in values:
        number, count = values.get("JAX_PROCESS_ID", ""), values["JAX_NUM_PROCESSES"]
        if not number.isdecimal() or not count.isdecimal():
            raise MdnnError(
                "JAX_NUM_PROCESSES and JAX_PROCESS_ID: expected whole numbers, received "
                f"{count!r} and {number!r}"
            )
        return int(count), int(number), values["JAX_COORDINATOR_ADDRESS"]
    for count, number in (
        ("SLURM_NTASKS", "SLURM_PROCID"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ):
        numbers = values.get(count, ""), values.get(number, "")
        if all(map(str.isdecimal, numbers)) and int(numbers[0]) > 1:
            return int(numbers[0]), int(numbers[1]), None
    return None, None, None


def check_numbers(count, number, coordinator):
    """Refuses numbers of processes and an address that cannot be used.

    Args:
        count: int, number of processes.
        number: int, that of this process, from 0.
        coordinator: str, `HOST:PORT`, or `None`.

    Raises:
        MdnnError: a number out of range, or an address of another form.
    """
    if not isinstance(count, int) or count < 1:
        raise MdnnError(f"num_processes: expected a number of at least 1, received {count}")
    if not isinstance(number, int) or not 0 <= number < count:
        raise MdnnError(f"process_id: expected a number from 0 to {count - 1}, received {number}")
    if coordinator is not None:
        split_address(coordinator)


def split_address(address):
    """Returns host and port of `HOST:PORT`.

    Raises:
        MdnnError: another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise MdnnError(
            f"coordinator: expected ADDRESS:PORT such as 192.168.0.10:12321, received {address!r}"
        )
    return host.strip("[]"), int(port)


def check_port(address):
    """Refuses the port of an address that a program of this machine uses.

    Raises:
        MdnnError: the port is in use.
    """
    _, port = split_address(address)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise MdnnError(
                f"coordinator: port {port} of this machine cannot be used ({error.strerror}): "
                "expected a free one, the same for all processes"
            ) from None


def find_coordinator(address, seconds):
    """Waits until somebody answers at an address.

    Raises:
        MdnnError: nobody does within this time.
    """
    host, port = split_address(address)
    end, reason = time.monotonic() + seconds, ""
    while (left := end - time.monotonic()) > 0:
        try:
            socket.create_connection((host, port), timeout=min(5, max(left, 0.1))).close()
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(min(0.3, max(left, 0)))
        else:
            return
    raise MdnnError(
        f"coordinator: nobody answered at {address} for {seconds} s ({reason}): expected process "
        "0 there, started at about the same time, and a port that its firewall lets through"
    )
