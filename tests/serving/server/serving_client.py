"""A server in a thread of this process, and a client that speaks HTTP to it."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading

from mdnn.serving.requests.request_limits import RequestLimits
from mdnn.serving.server.listening import listen
from mdnn.serving.server.uvicorn_server import StoppableServer

NAME = "tiny"


class Client:
    """Asks a server; each request has its own connection.

    Args:
        port: int.
        server: the `Server`, where it is in this process.
    """

    def __init__(self, port, server=None):
        self.port, self.server = port, server

    @property
    def batcher(self):
        """The batcher of the first network."""
        return next(iter(self.server.batchers.values()))

    def open(self, method, path, body=None, headers=()):
        """The connection and the response, whose body is not read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, dict(headers))
        return connection, connection.getresponse()

    def ask(self, method, path, body=None, headers=()):
        """Status, headers and body, bytes."""
        connection, response = self.open(method, path, body, headers)
        with contextlib.closing(connection):
            return response.status, response.headers, response.read()

    def get(self, path, headers=()):
        """Status and JSON."""
        status, _, raw = self.ask("GET", path, headers=headers)
        return status, json.loads(raw)

    def post(self, verb, body, headers=()):
        """Status and JSON of what is posted to the model."""
        status, _, raw = self.ask("POST", f"/v1/models/{NAME}:{verb}", body, headers)
        return status, json.loads(raw)

    def generate(self, rows):
        """Status and JSON of `generate` in row form, of tuples of its four inputs."""
        names = ("prompt", "length", "temperature", "seed")
        instances = [dict(zip(names, row, strict=True)) for row in rows]
        return self.post("predict", {"signature_name": "generate", "instances": instances})

    def stream(self, **body):
        """The events of a stream, as pairs of a name and its data."""
        connection, response = self.open("POST", f"/v1/models/{NAME}:stream", body)
        with contextlib.closing(connection):
            assert response.status == 200, response.read()
            assert response.headers["Content-Type"].startswith("text/event-stream")
            return list(events(response))


def events(response):
    """The server-sent events of a response as they come."""
    fields = {}
    for line in response:
        line = line.decode("utf-8").rstrip("\n")
        if line:
            name, _, fields[name] = line.partition(": ")
            continue
        yield fields.get("event", "text"), json.loads(fields["data"])
        fields = {}


@contextlib.contextmanager
def serving(network, host="127.0.0.1", key=None, toolbox=None, more=(), **limits):
    """A `Client` of a server that ends with the block; `more`: further networks by name."""
    listening = listen("127.0.0.1", 0)
    networks = {NAME: network, **dict(more)}
    server = StoppableServer(networks, RequestLimits(**limits), host, api_key=key, toolbox=toolbox)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        yield Client(listening.getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert server.end()
        assert not thread.is_alive()


def raw(port, data):
    """The first bytes that a server answers to bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        # It may hang up before it has read all.
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        return connection.recv(65_536)
