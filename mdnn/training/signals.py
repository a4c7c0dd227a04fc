"""Turns signals into a clean stop: between two steps of a training, or as an exception."""

import contextlib
import signal
import threading

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that ask a process to end; each system has some of them."""


class TerminationSignal(BaseException):
    """A signal that asks the process to end, raised as Python raises KeyboardInterrupt.

    Args:
        number: int, the signal.
    """

    def __init__(self, number):
        super().__init__(number)
        self.number = int(number)


def signal_number(error):
    """Returns the number of the signal behind a KeyboardInterrupt or a TerminationSignal."""
    return error.number if isinstance(error, TerminationSignal) else int(signal.SIGINT)


def signal_name(number):
    """Returns a signal's name such as `"SIGTERM"`, or `None` for no signal."""
    return None if number is None else signal.Signals(number).name


def exit_status(number):
    """Returns the exit status of a process that ended by a signal, as shells have it: 130, 143."""
    return 128 + int(number)


class _Handlers(contextlib.AbstractContextManager):
    """Handlers of signals for the time of a block; in the main thread alone."""

    def __init__(self):
        self.before = {}

    def set(self, number, handler):
        # None: set by something that is not Python, and left alone.
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
    """While it is entered, the first signal sets `number`; the next one acts at once.

    A step and the count of steps go together: an exception between them would lose or repeat one.
    Outside the main thread, where Python hears no signals, nothing is changed. SIGHUP stays ignored
    where it is (nohup).

    Attributes:
        number: int, the signal that was received; `None` before any.
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
        """Whether a signal was received."""
        return self.number is not None

    def _receive(self, number, frame):
        self.number = number
        self.undo()


@contextlib.contextmanager
def raising_signals():
    """Makes signals that would end the process at once raise `TerminationSignal` in the block.

    So half-written files are removed. Handlers that somebody else has set stay.
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
