"""Joins the processes of one training, compares their settings, shares the first one's values."""

import itertools
import json
import time

from mdnn.errors import MdnnError
from mdnn.training.mesh.addresses import (
    LostProcessError,
    check_numbers,
    check_port,
    find_coordinator,
    processes_of_environment,
)

JOIN_SECONDS = 120
"""Largest time from the start of a process until all processes have come."""

DEAD_SECONDS = 30
"""Time after which a process that is silent counts as dead."""

READ_SECONDS = 3
"""Time that the others have to read what went wrong."""

ANSWER_SECONDS = 24 * 3600
"""Largest time for reading data and checkpoints; a process that dies meanwhile ends it."""

PIECE = 1 << 20
"""Characters of one message of the coordinator."""


class ProcessGroup:
    """The processes of a training, of which this is one.

    Args:
        number: int, the number of this process, from 0.
        count: int, the number of processes.

    Attributes:
        number, count: as above.
        leads: bool, whether this is the first process, which reads and writes the run folder.
    """

    def __init__(self, number=0, count=1):
        self.number, self.count, self.leads = number, count, number == 0
        self._numbers = itertools.count()

    def from_first(self, make):
        """Calls a function in the first process and returns its result in all processes.

        Args:
            make: function without arguments whose result JSON can express; called in the
                first process alone.

        Raises:
            MdnnError: in all processes, if `make` raises it, or if the first process is gone.
        """
        if self.count == 1:
            return make()
        name = f"mdnn/first/{next(self._numbers)}"
        if not self.leads:
            return self._value(self._get(name), 0)
        return self._said(make, lambda value: value, name)

    def agree(self, make, facts_of):
        """Calls a function in each process and compares facts about its result.

        Args:
            make: function without arguments.
            facts_of: function from the result of `make` to a dict from words to strings, which all
                processes must have in common.

        Returns:
            What `make` returned.

        Raises:
            MdnnError: in all processes, if facts differ or `make` raises it in one of them.
        """
        if self.count == 1:
            return make()
        name = f"mdnn/facts/{next(self._numbers)}"
        made = self._said(make, facts_of, f"{name}/{self.number}")
        try:
            first = self._value(self._get(f"{name}/0"), 0)
            for number in range(1, self.count):
                facts = self._value(self._get(f"{name}/{number}"), number)
                for what, value in facts.items():
                    if value != first[what]:
                        raise MdnnError(_difference(what, number, first[what], value))
        except MdnnError:
            self._let_others_read()
            raise
        return made

    def share_values(self, variables):
        """Assigns the first process's values of variables in all processes.

        Args:
            variables: list of variables of the same shapes in all processes.
        """
        if self.count == 1:
            return
        import numpy as np
        from jax.experimental import multihost_utils

        values = multihost_utils.broadcast_one_to_all([np.asarray(v.value) for v in variables])
        if not self.leads:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value))

    def leave(self):
        """Waits until all processes are done, and leaves them."""
        if self.count > 1:
            import jax

            jax.distributed.shutdown()

    def _said(self, make, message, name):
        """Runs a function, publishes its message or its error, and returns its result."""
        try:
            made = make()
        except (MdnnError, OSError) as error:
            self._set(name, {"error": str(MdnnError(error))})
            self._let_others_read()
            raise
        self._set(name, {"value": message(made)})
        return made

    def _let_others_read(self):
        """Waits before an error ends the first process, and the coordinator with it."""
        time.sleep(READ_SECONDS if self.leads else 0)

    def _value(self, message, number):
        if "error" in message:
            raise MdnnError(f"process {number}: {message['error']}")
        return message["value"]

    def _set(self, name, message):
        text = json.dumps(message)
        pieces = [text[k : k + PIECE] for k in range(0, len(text), PIECE)]
        for number, piece in enumerate(pieces):
            _client().key_value_set(f"{name}/piece/{number}", piece)
        _client().key_value_set(f"{name}/pieces", str(len(pieces)))

    def _get(self, name):
        try:
            number = int(_client().blocking_key_value_get(f"{name}/pieces", 1000 * ANSWER_SECONDS))
            pieces = [
                _client().blocking_key_value_get(f"{name}/piece/{k}", 1000 * JOIN_SECONDS)
                for k in range(number)
            ]
        except Exception as error:
            raise LostProcessError(
                f"process {self.number} of {self.count}: another process is gone, whose message "
                "says why"
            ) from error
        return json.loads("".join(pieces))


def _difference(what, number, first, other):
    """Returns an error message that names the difference between a process and the first one."""
    lines = [(a, b) for a, b in itertools.zip_longest(first.split("\n"), other.split("\n"))]
    a, b = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
    return (
        f"process {number} differs from process 0 in its {what}: {str(a)[:80]!r} in process 0, "
        f"{str(b)[:80]!r} in process {number}"
    )


def _client():
    """Returns the client of JAX's coordinator, for which JAX has no public name."""
    from jax._src import distributed

    return distributed.global_state.client


def join_processes(count=None, number=None, coordinator=None, seconds=JOIN_SECONDS):
    """Joins the other processes of a training; call it before JAX computes anything.

    Args:
        count: int, the number of processes; `None`: from the environment (see
            `processes_of_environment`).
        number: int, the number of this process, from 0.
        coordinator: str, `ADDRESS:PORT` at which process 0 is reached by all processes.
        seconds: int, largest time until all processes have come.

    Returns:
        `ProcessGroup`; that of a single process where nothing names several.

    Raises:
        MdnnError: numbers or an address that cannot be used, a port that is in use, or processes
            that do not come in time.
    """
    if count is None and number is None and coordinator is None:
        count, number, coordinator = processes_of_environment()
        if count is None:
            return ProcessGroup()
    check_numbers(count, number, coordinator)
    if count == 1:
        return ProcessGroup()
    if coordinator is not None:
        if number == 0:
            check_port(coordinator)
        else:
            find_coordinator(coordinator, seconds)
    import jax

    # JAX would take over SIGTERM, which stops a training cleanly.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            number,
            cluster_detection_method=None if coordinator is None else "deactivate",
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=DEAD_SECONDS,
            shutdown_timeout_seconds=600,
        )
    except Exception as error:
        if "must be called before" in str(error):
            raise MdnnError(
                "mdnn.train with num_processes joins other processes before JAX computes: call it "
                "first in a new process"
            ) from None
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise MdnnError(
            f"{coordinator or 'the environment'}: {count} processes did not meet within {seconds} "
            f"s: {line[:200]}"
        ) from None
    if jax.local_device_count() > 1 and jax.default_backend() == "cpu":
        raise MdnnError(
            f"expected one device in each of several processes on a CPU, received "
            f"{jax.local_device_count()}: JAX cannot exchange arrays between more"
        )
    return ProcessGroup(jax.process_index(), jax.process_count())
