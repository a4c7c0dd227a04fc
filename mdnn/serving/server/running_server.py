"""`mdnn.serve`: a network behind HTTP, in a thread of the program that calls it."""

import asyncio
import atexit
import contextlib
import dataclasses
import inspect
import threading

from mdnn.errors import MdnnError, did_you_mean
from mdnn.serving.requests.request_limits import RequestLimits
from mdnn.serving.server.listening import address_of, listen
from mdnn.serving.server.serve_settings import ServeSettings, check_name
from mdnn.standard_streams import say
from mdnn.tools.toolbox import Toolbox

START = 0.01
"""Seconds between two looks whether the server has started."""


def serve(
    run,
    port=8501,
    host="127.0.0.1",
    name="mdnn",
    models=None,
    density=None,
    identities=None,
    member=None,
    engine="auto",
    toolbox=None,
    allow_hosts=(),
    allow_origins=(),
    api_key=None,
    show=True,
    **limits,
):
    """Serves a network over HTTP in the background, as `mdnn serve` does in the foreground.

    The server answers in a thread of its own until it is stopped or the program ends; scripts and
    notebooks go on meanwhile. It has TensorFlow Serving's forms (`/v1/models/NAME:predict`),
    OpenAI's (`/v1/completions`, `/v1/chat/completions`) and a page at `/` (docs/serving.md).

    Args:
        run: a run folder, a SavedModel, a `.keras` file, a `Network` (`mdnn.load`), or a `Run`
            (`mdnn.runs.run_folder.open_run`). Do not train an opened one meanwhile.
        port: int; 0: any that is free.
        host: str, the address to listen at; `"0.0.0.0"`: other computers may ask.
        name: str, the network's name in addresses.
        models: dict from names to further networks, each as `run`.
        density: float, a trained density of the network; `"auto"`: each text has the one that its
            prompt needs; `None`: the whole network.
        identities: dict from names, by which requests choose, to files that `mdnn.adapt` made.
        member: int, of networks in tandem the one that is served; `None`: all.
        engine: str, what writes texts: `"auto"`, `"native"`, `"native-int8"` or `"keras"`.
        toolbox: `mdnn.tools.toolbox.Toolbox` of the tools that the page may run; `None`: none.
        allow_hosts, allow_origins: str or lists of str, names that the header Host may have, and
            origins whose pages may ask, behind a proxy.
        api_key: str, answer only requests that bring it; `None`: the environment variable
            `MDNN_API_KEY`, or none.
        show: bool, whether to say on standard error what is read and where it is served.
        **limits: `max_body`, `max_prompt`, `max_length`, `max_seconds`, `max_batch`, `max_queue`,
            `batch_timeout_ms`: numbers, see `mdnn serve --help`.

    Returns:
        `Server`, with `address`, `names`, `answered`, `is_running`, `wait()` and `stop()`; it is a
        context manager that stops at the end of its block.

    Raises:
        MdnnError: no run, a port or host that cannot be used, an invalid limit, missing packages; a
            Keras backend other than TensorFlow.

    Example:

    >>> with mdnn.serve("runs/mine", port=0, density=0.5) as server:
    ...     print(server.address)
    >>> mdnn.serve("runs/mine").wait()  # until Ctrl-C
    """
    check_name(name)
    if toolbox is not None and not isinstance(toolbox, Toolbox):
        raise MdnnError(f"toolbox: expected a Toolbox of mdnn.tools, received {toolbox!r:.80}")
    settings = ServeSettings(
        {name: run} | _further(models, name),
        density,
        identities or {},
        member,
        engine,
        host,
        allow_hosts,
        allow_origins,
        api_key,
        _limits_of(limits),
    )
    tell = say if show else _silent
    listening = listen(host, port)
    try:
        stoppable = settings.server(settings.open(tell), toolbox)
    except BaseException:
        listening.close()
        raise
    server = Server(stoppable, listening, settings.networks)
    tell(f"mdnn: serving {', '.join(server.names)} at {server.address}")
    return server


class Server:
    """A server that runs in a thread of this process; stopped by `stop`, or as a context manager.

    Args:
        stoppable: `mdnn.serving.server.uvicorn_server.StoppableServer`.
        listening: the socket that it listens at.
        names: names of its networks.

    Attributes:
        address: str, such as `"http://127.0.0.1:8501/"`.
        names: tuple of str, names of the networks in addresses.
        answered: int, requests that were answered.
    """

    def __init__(self, stoppable, listening, names):
        self.address, self.names = address_of(listening), tuple(names)
        self._stoppable, self._listening, self._error = stoppable, listening, None
        self._answered = 0
        # A daemon: a program that has forgotten its server ends all the same.
        self._thread = threading.Thread(target=self._work, name="mdnn-server", daemon=True)
        self._thread.start()
        # Open requests are answered before the interpreter ends.
        atexit.register(self.stop)
        while not stoppable.started and self._thread.is_alive():
            self._thread.join(START)

    def __repr__(self):
        state = "at" if self.is_running else "stopped, was at"
        return f"<mdnn server of {', '.join(self.names)} {state} {self.address}>"

    def __enter__(self):
        if not self.is_running:
            raise MdnnError("this server is stopped: call mdnn.serve again")
        return self

    def __exit__(self, *error):
        self.stop()

    @property
    def is_running(self):
        """Whether requests are answered."""
        return self._thread.is_alive()

    @property
    def answered(self):
        """Number of requests that were answered."""
        running = self._stoppable
        return self._answered if running is None else running.answered

    def wait(self):
        """Waits until another thread stops the server, or Ctrl-C (a notebook's Stop), which does.

        Raises:
            Exception: the error that ended the server.
        """
        # Waiting in pieces lets Ctrl-C through on Windows.
        with contextlib.suppress(KeyboardInterrupt):
            while self._thread.is_alive():
                self._thread.join(0.5)
        self.stop()

    def stop(self):
        """Accepts no more requests, answers the open ones, and ends; a second call does nothing.

        Raises:
            Exception: what ended the server before.
        """
        stoppable, self._stoppable = self._stoppable, None
        if stoppable is None:
            return
        atexit.unregister(self.stop)
        stoppable.should_exit = True
        self._thread.join()
        self._listening.close()
        # A step that TensorFlow has begun cannot be stopped; it ends in its own thread.
        stoppable.end()
        self._answered = stoppable.answered
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self):
        try:
            asyncio.run(self._stoppable.serve(sockets=[self._listening]))
        except Exception as error:
            self._error = error


def _further(models, name):
    models = {} if models is None else models
    if not isinstance(models, dict):
        raise MdnnError(f"models: expected a dict from names to networks, received {models!r:.80}")
    if name in models:
        raise MdnnError(f"models: {name!r} is the name of the first network; choose another name")
    return models


def _limits_of(given):
    """Returns the `RequestLimits` of keyword arguments."""
    fields = {
        field.metadata["option"].replace("-", "_"): field.name
        for field in dataclasses.fields(RequestLimits)
    }
    for name in given:
        if name not in fields:
            known = [*list(inspect.signature(serve).parameters)[:-1], *fields]
            raise MdnnError(
                f"{name}: not an argument of serve{did_you_mean(name, known)}; arguments: "
                f"{', '.join(known)}"
            )
    return RequestLimits(**{fields[name]: value for name, value in given.items()})


def _silent(line):
    """Does nothing: there is nobody to inform."""
