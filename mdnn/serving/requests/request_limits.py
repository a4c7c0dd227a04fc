"""Limits of a request, and the refusal of one that exceeds them."""

import dataclasses

from mdnn.errors import MdnnError

# HTTP statuses, as TensorFlow Serving maps its codes (http_server.cc, ToHTTPStatusCode).
BAD, NOT_FOUND, TOO_LARGE, FAILED, UNAVAILABLE, TOO_LATE = 400, 404, 413, 500, 503, 504
UNSUPPORTED = 415


class RefusalError(Exception):
    """Raised for a request that is refused; says why.

    Args:
        status: int, the HTTP status.
        message: one line: what was expected, what was received, where.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def _limit(default, option, text, least=1):
    """Returns a field of `RequestLimits` with the command's option for it and the option's help."""
    about = {"option": option, "help": text, "least": least}
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True)
class RequestLimits:
    """Limits of one request, and settings for gathering requests into batches.

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

    body: int = _limit(1 << 20, "max-body", "largest number of bytes of a request")
    prompt: int = _limit(10_000, "max-prompt", "largest number of characters of a prompt")
    length: int = _limit(10_000, "max-length", "largest number of characters of an answer")
    seconds: float = _limit(
        60.0, "max-seconds", "seconds from a request to the end of its answer, at most", least=0.1
    )
    rows: int = _limit(
        16, "max-batch", "largest number of prompts in a request, and answered together"
    )
    waiting: int = _limit(256, "max-queue", "largest number of requests that wait for their turn")
    gather: float = _limit(
        5.0,
        "batch-timeout-ms",
        "milliseconds that an idle server waits for more requests to answer with the first",
        least=0,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, about = getattr(self, field.name), field.metadata
            if isinstance(value, bool) or not isinstance(value, (int, field.type)):
                kind = "a number" if field.type is float else "a whole number"
                raise MdnnError(f"{about['option']}: expected {kind}, received {value!r}")
            if not about["least"] <= value <= 2**31:
                raise MdnnError(
                    f"{about['option']}: expected {about['least']} to {2**31}, received {value}"
                )
