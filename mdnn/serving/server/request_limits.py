"""How much one request may ask for, and what is said to one that asks for more."""

import dataclasses

from mdnn.errors import MdnnError

# HTTP statuses, as TensorFlow Serving maps its codes (http_server.cc, ToHTTPStatusCode).
BAD, NOT_FOUND, TOO_LARGE, FAILED, UNAVAILABLE, TOO_LATE = 400, 404, 413, 500, 503, 504
UNSUPPORTED = 415


class RefusalError(Exception):
    """A request that is not answered.

    Args:
        status: int, the HTTP status.
        message: one line: what was expected, what was received, where.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may ask for at most, and how requests are gathered.

    Args:
        body: bytes of a request's body.
        prompt: characters of a prompt.
        length: characters of an answer.
        seconds: from a request's arrival to the end of its answer.
        rows: prompts that are answered in one batch, and of one request.
        waiting: requests that wait for their turn.
        gather: milliseconds that an idle server waits for more requests to answer with the first.

    Raises:
        MdnnError: a number below its least.
    """

    body: int = 1 << 20
    prompt: int = 10_000
    length: int = 10_000
    seconds: float = 60.0
    rows: int = 16
    waiting: int = 256
    gather: float = 5.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), LEAST.get(field.name, 1)
            if not least <= value <= 2**31:
                raise MdnnError(
                    f"--{WORDS[field.name]}: expected {least} to {2**31}, received {value}"
                )


WORDS = {
    "body": "max-body",
    "prompt": "max-prompt",
    "length": "max-length",
    "seconds": "max-seconds",
    "rows": "max-batch",
    "waiting": "max-waiting",
    "gather": "gather",
}
"""The command's words for the limits."""

LEAST = {"seconds": 0.1, "gather": 0}
"""The least of those that may be less than 1."""
