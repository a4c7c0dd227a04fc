"""Turns termination signals into a clean stop between two steps, or into an exception."""

import contextlib
import signal
import threading

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Names of termination signals; each system has a subset of them."""


class TerminationSignal(BaseException):
    """Raised on a termination signal, as KeyboardInterrupt is on SIGINT.

    Args:
        number: int, the signal number.
    """

    def __init__(self, number):
        super().__init__(number)
        self.number = int(number)


def signal_number(error):
    """Returns the signal number of a KeyboardInterrupt or TerminationSignal."""
    return error.number if isinstance(error, TerminationSignal) else int(signal.SIGINT)


def signal_name(number):
    """Returns a signal's name such as `"SIGTERM"`, or `None` for no signal."""
    return None if number is None else signal.Signals(number).name


def exit_status(number):
    """Returns the shell's exit status for a process ended by a signal: 128 + number."""
    return 128 + int(number)


class _Handlers(contextlib.AbstractContextManager):
    """Installs signal handlers and restores the previous ones on exit."""

    def __init__(self):
        self.before = {}

    def set(self, number, handler):
        # None: the handler was not installed from Python; leave it in place.
        if signal.getsignal(number) is not None:
            self.before[number] = signal.signal(number, handler)

    def __exit__(self, *error):
        self.undo()

    def undo(self):
        for number, handler in self.before.items():
            with contextlib.suppress(ValueError):
                signal.signal(number, handler)
        self.before = {}


class Stopping(_Handlers):
    """Records the first termination signal in `number`; the second one takes effect immediately.

    A training loop checks `asked` between two steps. An exception could instead arrive between a
    step and the update of the step counter, and so lose or repeat a step. Has no effect outside the
    main thread, where Python delivers no signals. An ignored SIGHUP (nohup) stays ignored.

    Attributes:
        number: int, the received signal; `None` before the first one.
    """

    def __init__(self):
        super().__init__()
        self.number = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in _numbers(NAMES):
                if number == _hangup() and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self.set(number, self._receive)
        return self

    @property
    def asked(self):
        """bool, true after the first signal."""
        return self.number is not None

    def _receive(self, number, frame):
        self.number = number
        self.undo()


@contextlib.contextmanager
def raising_signals():
    """Makes termination signals raise `TerminationSignal` inside the context.

    The exception lets cleanup code remove half-written files. Affects only signals with the default
    handler, which would end the process immediately; SIGINT and custom handlers are unchanged.
    """
    with _Handlers() as handlers:
        if threading.current_thread() is threading.main_thread():
            for number in _numbers(NAMES[1:]):
                if signal.getsignal(number) is signal.SIG_DFL:
                    handlers.set(number, _raise)
        yield


def _raise(number, frame):
    raise TerminationSignal(number)


def _numbers(names):
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _hangup():
    return getattr(signal, "SIGHUP", None)
