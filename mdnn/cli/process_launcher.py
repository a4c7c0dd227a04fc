"""Starts the processes of a training, waits for them and reports which one failed."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.keras_settings import check_mesh_backend
from mdnn.standard_streams import say
from mdnn.training.mesh.addresses import LostProcessError, check_numbers, check_port
from mdnn.training.signals import TerminationSignal, exit_status, signal_number

WORKER = "MDNN_WORKER"
"""Environment variable of a process that a launcher started."""

LOST = 3
"""Exit status of a worker that no longer reaches another one."""

POLL_SECONDS = 0.1

GRACE_SECONDS = 20
"""Time that the other processes have to end by themselves after one failed."""

NOISE = b"[Gloo]"
"""Beginning of lines that JAX's exchange on CPUs prints."""


def launch(words, count, number=None, coordinator=None, out=None):
    """Starts all processes of a training on this machine, or one of them, and waits.

    Args:
        words: list of str, the command line of this process without the program.
        count: int, the number of all processes.
        number: int, the process to start; `None` for all.
        coordinator: str, `ADDRESS:PORT` of process 0; `None`, with all here, for a free port.
        out: the run folder, for messages.

    Returns:
        int, the exit status of the processes.

    Raises:
        MdnnError: numbers or an address that cannot be used; a process that failed without having
            said why.
    """
    check_mesh_backend(os.environ.get("KERAS_BACKEND") or "jax")
    if importlib.util.find_spec("jax") is None:
        raise MdnnError('several processes train on jax, which is not installed: "mdnn[jax]"')
    if number is not None and coordinator is None:
        raise MdnnError("--coordinator: expected ADDRESS:PORT of process 0, received none")
    check_numbers(count, number or 0, coordinator)
    if coordinator is None:
        coordinator = f"127.0.0.1:{_free_port()}"
    elif not number:
        check_port(coordinator)
    numbers = range(count) if number is None else [number]
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(words, count, k, coordinator, number is None))
            for k in numbers
        ]
        _wait(workers)
        return _status(workers, count, out)


class _Worker:
    """A process of the training; a context manager that ends it.

    Args:
        words, count, coordinator: see `launch`.
        number: int, the number of the process.
        beside: bool, whether the others are started here as well; the first one alone then writes
            to the standard streams.
    """

    def __init__(self, words, count, number, coordinator, beside):
        self.number = number
        shown = number == 0 or not beside
        # Closed with the worker.
        self.errors = None if shown else tempfile.TemporaryFile()  # noqa: SIM115
        more = [f"--num-processes={count}", f"--process-id={number}"]
        group = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mdnn", *words, *more, f"--coordinator={coordinator}"],
            env={"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {WORKER: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            **group,
        )
        self.printing = threading.Thread(target=self._print, args=[shown], daemon=True)
        self.printing.start()

    def _print(self, shown):
        for line in self.process.stdout:
            if shown and not line.startswith(NOISE):
                sys.stdout.write(line.decode(errors="replace"))

    def send(self, number):
        """Sends a signal, if the process still runs."""
        with contextlib.suppress(OSError):
            if self.process.poll() is None:
                self.process.send_signal(number)

    @property
    def status(self):
        """int, the exit status, negative for a signal; `None` while the process runs."""
        return self.process.poll()

    def reason(self):
        """Returns the last line that the process wrote to standard error, a str."""
        if self.errors is None:
            return ""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        said = [line for line in lines if line.startswith("mdnn: error: ")] or lines
        return said[-1].removeprefix("mdnn: error: ").strip() if said else ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.status is None:
            self.process.kill()
        self.process.wait()
        self.printing.join(5)
        self.process.stdout.close()
        if self.errors is not None:
            self.errors.close()


def _wait(workers):
    """Waits until all processes end and forwards signals; ends the others after a failure."""
    failed = None
    with _forwarded(workers):
        while any(worker.status is None for worker in workers):
            time.sleep(POLL_SECONDS)
            if failed is None and any(worker.status not in (None, 0) for worker in workers):
                failed = time.monotonic()
            if failed is not None and time.monotonic() - failed > GRACE_SECONDS:
                for worker in workers:
                    worker.send(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


@contextlib.contextmanager
def _forwarded(workers):
    """Context manager in which signals that end this process are sent to the workers."""

    def forward(number, frame):
        for worker in workers:
            worker.send(number)

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status(workers, count, out):
    """Returns the exit status of all workers; raises the errors that failed ones did not print."""
    statuses = {worker.number: worker.status for worker in workers}
    if all(status == 0 for status in statuses.values()):
        return 0
    stopped = [s for s in statuses.values() if s > 128]
    if stopped and all(s == 0 or s > 128 for s in statuses.values()):
        return stopped[0]
    again = _resume_words(out)
    for worker in workers:
        # JAX ends a process by SIGABRT when another one is gone.
        if worker.status < 0 and worker.status != -getattr(signal, "SIGABRT", 0):
            name = signal.Signals(-worker.status).name
            raise MdnnError(
                f"process {worker.number} of {count} was ended by {name}, the others with it{again}"
            )
    for worker in workers:
        if worker.status in (1, 2):
            if worker.errors is None:
                return worker.status
            raise MdnnError(f"process {worker.number} of {count}: {worker.reason()}")
    if all(status == LOST for status in statuses.values()):
        return 2
    raise MdnnError(f"JAX ended this training: a process of {count} is gone{again}")


def _resume_words(out):
    """Returns the end of an error message: how to resume the training."""
    # Not from mdnn.training.checkpoint: this process needs no Keras.
    files = [] if out is None else sorted(as_path(out, "--out").glob("checkpoints/step-*"))
    return f"; --resume goes on from {files[-1].name}" if files else "; there is no checkpoint yet"


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def on_worker(train):
    """Trains in a process that a launcher started, and ends the process if that fails.

    JAX would wait for the other processes at an ordinary exit.

    Args:
        train: function without arguments that returns the exit status.
    """
    _end_with_parent()
    try:
        return train()
    except (KeyboardInterrupt, TerminationSignal) as error:
        status = exit_status(signal_number(error))
    except (MdnnError, OSError) as error:
        say(f"mdnn: error: {MdnnError(error)}")
        status = LOST if isinstance(error, LostProcessError) else 2
    except Exception:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _end_with_parent():
    """Ends this process soon after the one that started it."""
    if os.name == "nt":
        return
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
