"""Standard output and error that may be closed, full, or a pipe that nobody reads any more."""

import contextlib
import os
import sys


def open_missing():
    """Opens the null device at each of the descriptors 0, 1 and 2 that is closed.

    Otherwise the next file that is opened gets such a number, and what a library prints goes into
    the file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)
                if null != number:
                    os.dup2(null, number)
                    os.close(null)


def show_any_character():
    """Replaces characters that a terminal's encoding lacks by `?`; an error would end a command."""
    for stream in (sys.stdout, sys.stderr):
        # A stream of somebody else's, or none.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")


def say(text):
    """Prints a line on standard error, if that can be written to."""
    if sys.stderr is not None:
        print(text, file=Unfailing(sys.stderr), flush=True)


def flush():
    """Writes out what is still to be printed on standard output.

    Raises:
        OSError: it cannot be written. It is dropped then: Python would try again at its end, and
            end with status 120.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from None


class Unfailing:
    """A stream that writes into another one, and nowhere once that cannot be written to.

    Args:
        stream: a text stream.
    """

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        """Writes a text; returns its length."""
        with self._attempt():
            self.stream.write(text)
        return len(text)

    def flush(self):
        """Writes out what is buffered."""
        with self._attempt():
            self.stream.flush()

    @contextlib.contextmanager
    def _attempt(self):
        try:
            yield
        except OSError:
            _drop(self.stream)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def _drop(stream):
    """Sends what a stream holds, and what will be written to it, to the null device."""
    # No file behind it: a test's own stream.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
