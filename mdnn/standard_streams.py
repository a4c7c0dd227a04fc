"""Handles standard streams that are closed, full, or pipes without a reader."""

import contextlib
import os
import sys


def open_missing():
    """Opens the null device on each of the descriptors 0, 1 and 2 that is closed.

    Otherwise the next opened file would get that descriptor, and output of libraries would be
    written to the file.
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
    """Makes the standard streams print `?` for characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        # The stream may be a replacement without this method, or None.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")


def say(text):
    """Prints a line on standard error; ignores a stream that cannot be written to."""
    if sys.stderr is not None:
        print(text, file=Unfailing(sys.stderr), flush=True)


def flush():
    """Flushes standard output.

    Raises:
        OSError: the output cannot be written. The buffered output is dropped, because Python would
            otherwise flush again at exit and end with status 120.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from None


class Unfailing:
    """A stream that writes to another stream, and drops its output once that stream fails.

    Args:
        stream: a text stream.
    """

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        """Writes a text and returns its length."""
        with self._attempt():
            self.stream.write(text)
        return len(text)

    def flush(self):
        """Flushes the stream."""
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
    """Redirects the buffered and future output of a stream to the null device."""
    # The stream may have no file descriptor, such as one of a test.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
