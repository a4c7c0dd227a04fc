"""A uvicorn server that answers or refuses every accepted request before it stops."""

import asyncio
import contextlib
import signal
import time

import uvicorn

from mdnn.serving.server.app import App
from mdnn.serving.server.batcher import Batcher
from mdnn.serving.server.guard import hosts_of
from mdnn.serving.server.model_forms import ModelForms

# Seconds for answering open requests when the server stops, then for sending them errors.
GRACE, TOLD = 5.0, 2.0

# Connections at once; each may hold a body in memory.
CONNECTIONS = 512


class QuietConfig(uvicorn.Config):
    """Leaves loggers as they are: they belong to the program that serves."""

    def configure_logging(self):
        """Changes nothing."""


class StoppableServer(uvicorn.Server):
    """The server of one network or several.

    Args:
        networks: dict from names in addresses to `mdnn.serving.server.served_model.ServedModel`.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
        host: what is listened at.
        hosts: more names that the header Host may have, see `guard.hosts_of`.
        origins: origins of other pages that may ask.
        api_key: str, the key that requests must have; `None`: none.
        toolbox: `mdnn.tools.toolbox.Toolbox` of the tools that the page may run; `None`: none.
    """

    def __init__(self, networks, limits, host, hosts=(), origins=(), api_key=None, toolbox=None):
        # Each network has a thread and a queue: none waits for another one's batches.
        self.batchers = {name: Batcher(network.run, limits) for name, network in networks.items()}
        models = {
            name: ModelForms(network, name, limits, self.batchers[name])
            for name, network in networks.items()
        }
        app = App(models, limits, hosts_of(host, hosts), origins, api_key, toolbox)
        config = QuietConfig(
            app,
            # The one that needs nothing compiled, and is strict.
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(GRACE + TOLD),
        )
        super().__init__(config)

    async def shutdown(self, sockets=None):
        """Accepts no more requests and waits for those that are there."""
        for batcher in self.batchers.values():
            batcher.stop()
        telling = asyncio.get_running_loop().call_later(GRACE, self._tell_all)
        await super().shutdown(sockets)
        telling.cancel()

    @contextlib.contextmanager
    def capture_signals(self):
        """Stops at Ctrl-C or SIGTERM without raising them again at the end, as uvicorn does."""
        # SIGBREAK is Ctrl-Break, or a console that is closed, on Windows.
        words = ("SIGINT", "SIGTERM", "SIGBREAK")
        names = [getattr(signal, word) for word in words if hasattr(signal, word)]
        try:
            kept = {name: signal.signal(name, self.handle_exit) for name in names}
        except ValueError:
            # Only the main thread takes signals.
            kept = {}
        try:
            yield
        finally:
            for name, handler in kept.items():
                signal.signal(name, handler)

    @property
    def answered(self):
        """Number of requests that were answered."""
        return sum(batcher.answered for batcher in self.batchers.values())

    def _tell_all(self):
        for batcher in self.batchers.values():
            batcher.tell_all()

    def end(self):
        """Ends the computing threads and returns whether they have ended."""
        self._tell_all()
        end = time.monotonic() + TOLD
        for batcher in self.batchers.values():
            batcher.thread.join(max(0, end - time.monotonic()))
        return not any(batcher.thread.is_alive() for batcher in self.batchers.values())
