"""`mdnn.serve`: a server in a thread of the program, stopped and started as it likes."""

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import keras
import pytest

import mdnn
from mdnn.errors import MdnnError
from mdnn.tools.toolbox import Toolbox

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("decoded_without_xla")

SMALL = {"port": 0, "max_batch": 1}


def ask(address, path, body=None):
    """The JSON that a server answers."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(address + path, data, timeout=60) as answer:
        return json.loads(answer.read())


def complete(server, model="mdnn"):
    body = {"model": model, "prompt": "The cat", "max_tokens": 9, "temperature": 0}
    return ask(server.address, "v1/completions", body)["choices"][0]["text"]


def test_serves_until_it_is_stopped(tiny_run, capfd):
    expected = mdnn.generate(tiny_run, "The cat", length=9, temperature=0)
    capfd.readouterr()
    with mdnn.serve(tiny_run, name="cat", **SMALL) as server:
        assert repr(server) == f"<mdnn server of cat at {server.address}>"
        assert (server.is_running, server.names) == (True, ("cat",))
        assert complete(server, "cat") == expected
    assert (server.is_running, server.answered) == (False, 1)
    assert repr(server) == f"<mdnn server of cat stopped, was at {server.address}>"
    server.stop()
    server.wait()
    with pytest.raises(MdnnError, match="this server is stopped"), server:
        pass
    with pytest.raises(urllib.error.URLError):
        ask(server.address, "v1/models")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"mdnn: {tiny_run} is read; getting ready",
        f"mdnn: serving cat at {server.address}",
    ]
    # Its port is free again.
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_options_are_those_of_the_command(opened_tiny, tmp_path, monkeypatch):
    """Each argument reaches what it is for."""
    seen = {}

    class StoppedError(Exception):
        pass

    def server(settings, opened, toolbox):
        seen.update(settings=settings, opened=opened, toolbox=toolbox)
        raise StoppedError

    settings = "mdnn.serving.server.serve_settings.ServeSettings"
    monkeypatch.setattr(f"{settings}.open", lambda self, tell: "opened")
    monkeypatch.setattr(f"{settings}.server", server)
    file, toolbox = tmp_path / "a.safetensors", Toolbox([])
    file.write_bytes(b"")
    with pytest.raises(StoppedError):
        mdnn.serve(
            opened_tiny,
            0,
            "127.0.0.1",
            "a",
            {"b": "."},
            density=1,
            identities={"i": str(file)},
            member=2,
            engine="keras",
            toolbox=toolbox,
            allow_hosts="Write.Example.org",
            allow_origins=["https://write.example.org:443"],
            api_key="secret",
            show=False,
            max_body=5,
            batch_timeout_ms=2.5,
        )
    found = seen["settings"]
    assert (seen["opened"], seen["toolbox"]) == ("opened", toolbox)
    assert found.networks["a"] is opened_tiny
    assert [str(path) for path in (found.networks["b"], found.identities["i"])] == [".", str(file)]
    assert (found.density, found.member, found.engine) == (1, 2, "keras")
    assert found.hosts == ("write.example.org",)
    assert found.origins == ("https://write.example.org",)
    assert (found.api_key, found.limits.body, found.limits.gather) == ("secret", 5, 2.5)


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("none", {}, "none is not a run folder or SavedModel: there is nothing there"),
        (7, {}, "run: expected a path, received 7"),
        (".", {}, ". is not a run folder: it has no config.toml"),
        (".", {"port": "8501"}, "port: expected 0 (any that is free) to 65535, received '8501'"),
        (".", {"port": 70_000}, "port: expected 0"),
        (".", {"host": None}, "host: expected this computer's name or address, received None"),
        (".", {"name": "a/b"}, "name: expected letters, digits"),
        (".", {"host": 5}, "host: expected this computer's name or address, received 5"),
        (".", {"name": ["x"]}, "name: expected letters, digits"),
        (".", {"toolbox": "calculator"}, "toolbox: expected a Toolbox of mdnn.tools"),
        (".", {"models": ["b"]}, "models: expected a dict from names to networks"),
        (".", {"models": {"mdnn": "."}}, "models: 'mdnn' is the name of the first network"),
        (".", {"identities": {"": "x"}}, "identity: expected letters, digits"),
        (".", {"identities": {"a:b": "x"}}, "identity: expected letters, digits"),
        (
            ".",
            {"allow_host": "a"},
            "not an argument of serve (did you mean 'allow_hosts'?); arguments",
        ),
        (".", {"allow_hosts": 5}, "allow-host: expected strings"),
        (".", {"models": {"b": "none"}}, "none is not a run folder or SavedModel"),
        (".", {"identities": "a.safetensors"}, "identity: expected a dict from names to paths"),
        (".", {"identities": {"a": "none"}}, "identity: no such file: none"),
        (
            ".",
            {"identities": {"a": "x"}, "density": 0.5},
            "the whole network; received density 0.5",
        ),
        (".", {"engine": "fast"}, "engine: expected one of"),
        (".", {"allow_hosts": "*"}, "allow-host: expected a name"),
        (".", {"allow_origins": [3]}, "allow-origin: expected strings"),
        (".", {"api_key": "a b"}, "API key: expected visible ASCII characters without spaces"),
        (".", {"api_key": 5}, "API key: expected visible ASCII characters"),
        (".", {"max_bod": 1}, "max_bod: not an argument of serve (did you mean 'max_body'?)"),
        (".", {"max_body": 0}, "max-body: expected 1 to"),
        (".", {"max_seconds": "5"}, "max-seconds: expected a number, received '5'"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, run, options, message):
    monkeypatch.chdir(tmp_path)
    before = threading.active_count()
    with pytest.raises(MdnnError) as error:
        mdnn.serve(run, **{"port": 0, "show": False} | options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert threading.active_count() == before


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(MdnnError, match=f"port: {port} of 127.0.0.1 is in use by another"):
            mdnn.serve(tmp_path, port)


def test_from_a_running_event_loop(opened_tiny):
    """As in a notebook, whose cells run inside of one."""

    async def cell():
        with mdnn.serve(opened_tiny, show=False, **SMALL) as server:
            return await asyncio.to_thread(complete, server)

    assert len(asyncio.run(cell())) == 9


def test_loggers_stay_as_the_program_has_them(opened_tiny):
    logger = logging.getLogger("uvicorn.error")
    kept, logger.level = logger.level, 7
    try:
        with mdnn.serve(opened_tiny, show=False, **SMALL):
            assert (logger.level, logger.handlers) == (7, [])
            assert logging.getLogger("uvicorn").handlers == []
    finally:
        logger.level = kept


def test_what_ends_the_server_is_told(opened_tiny, monkeypatch):
    from mdnn.serving.server.uvicorn_server import StoppableServer

    async def fail(self, sockets):
        raise RuntimeError("the loop is gone")

    monkeypatch.setattr(StoppableServer, "serve", fail)
    server = mdnn.serve(opened_tiny, show=False, **SMALL)
    assert not server.is_running
    with pytest.raises(RuntimeError, match="the loop is gone"):
        server.wait()
    server.stop()


PROGRAM = """
import sys, mdnn
server = mdnn.serve(sys.argv[1], port=0, max_batch=1, show=False)
print(server.address, flush=True)
if sys.argv[2] == "wait":
    server.wait()
    print("went on", server.answered)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="sends a signal")
def test_scripts_wait_until_ctrl_c_or_end(tiny_run):
    words = [sys.executable, "-c", PROGRAM, str(tiny_run)]
    with subprocess.Popen([*words, "wait"], stdout=subprocess.PIPE, text=True) as waiting:
        address = waiting.stdout.readline().strip()
        assert ask(address, "v1/models/mdnn")["model_version_status"][0]["state"] == "AVAILABLE"
        waiting.send_signal(signal.SIGINT)
        assert waiting.communicate(timeout=60)[0] == "went on 0\n"
    assert waiting.returncode == 0
    ended = subprocess.run([*words, "end"], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.startswith("http://127.0.0.1:")
    assert "Traceback" not in ended.stderr
