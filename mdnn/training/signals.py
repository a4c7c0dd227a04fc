"""Ctrl-C and the system's word to end, heeded between two steps."""

import contextlib
import signal
import threading


class Stopping:
    """While it is entered, the first SIGINT or SIGTERM sets `asked`; the next one acts at once.

    A step and the count of steps go together: an exception between them would lose or repeat one.
    Outside the main thread, where Python hears no signals, nothing is changed.
    """

    def __init__(self):
        self.asked = False
        self.before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # None: set by something that is not Python, and left alone
                if signal.getsignal(number) is not None:
                    self.before[number] = signal.signal(number, self._heed)
        return self

    def __exit__(self, *error):
        self._undo()

    def _heed(self, number, frame):
        self.asked = True
        self._undo()

    def _undo(self):
        for number, handler in self.before.items():
            with contextlib.suppress(ValueError):
                signal.signal(number, handler)
        self.before = {}
