"""Passes answers from the computing thread to the event loop."""

import asyncio
import contextlib

import numpy as np


class Waiting:
    """Waits for the answer of a job in the event loop; a context manager that drops the job.

    Args:
        make: function of `tell` (see `mdnn.serving.server.batcher.Job`) that makes the job.

    Attributes:
        job: the `Job`.
    """

    def __init__(self, make):
        self.loop, self.events = asyncio.get_running_loop(), asyncio.Queue()
        self.job, self.result = make(self._tell), None

    def _tell(self, event):
        """Takes an event of the job, in the thread that computes."""
        # The loop is closed where the process ends.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.job.cancel()

    async def piece(self):
        """Returns the characters by which each row grew; `None` when all is answered.

        Raises:
            RefusalError: there is no answer.
        """
        kind, value = await self.events.get()
        if kind == "error":
            raise value
        if kind == "piece":
            return value
        self.result = value
        return None

    async def collect(self, receive, add):
        """Waits for the whole answer.

        Args:
            receive: ASGI's; tells when the client has gone away.
            add: function that is called with each list of pieces.

        Returns:
            bool, whether the answer is there; otherwise the client has gone.

        Raises:
            RefusalError: there is no answer.
        """
        gone = asyncio.ensure_future(_gone(receive))
        whole = asyncio.ensure_future(self._collect(add))
        try:
            await asyncio.wait({gone, whole}, return_when=asyncio.FIRST_COMPLETED)
            if not whole.done():
                return False
            whole.result()
            return True
        finally:
            for task in (gone, whole):
                task.cancel()

    async def _collect(self, add):
        while (new := await self.piece()) is not None:
            add(new)

    async def outputs(self, receive):
        """Returns the whole answer, a dict of arrays.

        Args:
            receive: ASGI's; tells when the client has gone away.

        Returns:
            The outputs, or `None` where the client has gone.

        Raises:
            RefusalError: there is no answer.
        """
        texts = [[] for _ in range(self.job.rows)]

        def add(new):
            for text, more in zip(texts, new, strict=True):
                text.append(more)

        if not await self.collect(receive, add):
            return None
        if self.result is not None:
            return self.result
        found = np.empty(len(texts), object)
        found[:] = ["".join(text).encode("utf-8") for text in texts]
        return {"text": found}


async def _gone(receive):
    """Waits until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
