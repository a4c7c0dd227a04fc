"""A uvicorn server that answers or refuses every accepted request before it stops."""

import asyncio
import contextlib
import signal

import uvicorn

from mdnn.serving.server.app import App
from mdnn.serving.server.batcher import Batcher
from mdnn.serving.server.guard import hosts_of

# Seconds that requests have to be answered when the server is asked to stop, and to be told.
GRACE, TOLD = 5.0, 2.0

# Connections at once; each may hold a body in memory.
CONNECTIONS = 512


class StoppableServer(uvicorn.Server):
    """The server of a network.

    Args:
        network: `mdnn.serving.server.served_model.ServedModel`.
        name: str, the model's name in addresses.
        limits: `mdnn.serving.server.request_limits.RequestLimits`.
        host: what is listened at.
        hosts: more names that the header Host may have, see `guard.hosts_of`.
        origins: origins of other pages that may ask.
        api_key: str, the key that requests must have; `None`: none.
        toolbox: `mdnn.tools.toolbox.Toolbox` of the tools that the page may run; `None`: none.
    """

    def __init__(
        self, network, name, limits, host, hosts=(), origins=(), api_key=None, toolbox=None
    ):
        self.batcher = Batcher(network.run, limits)
        hosts = hosts_of(host, hosts)
        app = App(network, name, limits, self.batcher, hosts, origins, api_key, toolbox)
        config = uvicorn.Config(
            app,
            # The one that needs nothing compiled, and is strict.
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(GRACE + TOLD),
        )
        super().__init__(config)

    async def shutdown(self, sockets=None):
        """Accepts no more requests and waits for those that are there."""
        self.batcher.stop()
        telling = asyncio.get_running_loop().call_later(GRACE, self.batcher.tell_all)
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

    def end(self):
        """Ends the computing thread and returns whether it has ended."""
        self.batcher.tell_all()
        self.batcher.thread.join(TOLD)
        return not self.batcher.thread.is_alive()
