"""Reads the bodies of requests within their limits and deadlines."""

import asyncio
import contextlib

from starlette.concurrency import run_in_threadpool

from mdnn.serving.requests.compression import decompress
from mdnn.serving.requests.request_limits import TOO_LARGE, TOO_LATE, RefusalError

NO_BUFFERS = {"X-Accel-Buffering": "no"}
"""What keeps nginx from collecting a stream before it hands it on."""


class RequestReader:
    """Reads bodies and watches deadlines.

    Args:
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
    """

    def __init__(self, limits):
        self.limits = limits

    async def body(self, request):
        """Returns a request's body, bytes."""
        most = self.limits.body
        refusal = RefusalError(TOO_LARGE, f"the body has more than {most} bytes")
        # Digits alone: h11 has seen to that.
        if int(request.headers.get("content-length", 0)) > most:
            raise refusal
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise refusal
            parts.append(part)
        body = b"".join(parts)
        if encoding := request.headers.get("content-encoding"):
            # A large one takes a while, which others do not have to wait.
            body = await run_in_threadpool(decompress, body, encoding, most)
        return body

    def end(self):
        """Returns the deadline of a request that arrives now, in the event loop's time."""
        return asyncio.get_running_loop().time() + self.limits.seconds

    @contextlib.asynccontextmanager
    async def in_time(self, end):
        """Refuses a request that is not answered by its deadline."""
        try:
            async with asyncio.timeout_at(end):
                yield
        except TimeoutError:
            seconds = self.limits.seconds
            raise RefusalError(TOO_LATE, f"not answered within {seconds:g} seconds") from None
