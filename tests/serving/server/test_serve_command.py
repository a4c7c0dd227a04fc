"""`mdnn serve`: what is refused before anything is served, with one line and status 2."""

import importlib.machinery
import socket

import pytest
import tensorflow as tf

from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.serving.requests.request_limits import RequestLimits
from mdnn.serving.server import listening, serve_command, serve_settings
from mdnn.serving.server.serve_settings import ServeSettings


@pytest.fixture
def call(capfd):
    def run(*words):
        status = main(["serve", *(str(word) for word in words)])
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def busy():
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def refused(answer, message):
    status, out, err = answer
    assert (status, out) == (2, "")
    assert err.startswith("mdnn: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none",), "none is not a run folder or SavedModel: there is nothing there"),
        (("file",), "file is not a run folder or SavedModel: there is a file there"),
        ((".", "--port", 0), ". is not a run folder: it has no config.toml"),
        (("damaged", "--port", 0), "damaged/saved_model.pb cannot be read"),
        ((".", "--port", 65_536), "port: expected 0 (any that is free) to 65535, received 65536"),
        ((".", "--port", -1), "port: expected 0"),
        ((".", "--host", "192.0.2.1"), "host: 192.0.2.1 is not an address of this computer"),
        ((".", "--name", "a/b"), "name: expected letters, digits"),
        ((".", "--model", "b"), "--model: expected NAME=RUN, each name once; received 'b'"),
        ((".", "--model", "b=.", "--model", "b=."), "each name once; received 'b=.'"),
        ((".", "--model", "mdnn=."), "each name once; received 'mdnn=.'"),
        ((".", "--model", "a/b=."), "name: expected letters, digits"),
        (
            (".", "--model", "b=none"),
            "none is not a run folder or SavedModel: there is nothing there",
        ),
        ((".", "--identity", "a=none"), "identity: no such file: none"),
        ((".", "--identity", "a=file", "--density", 0.5), "the whole network; received density"),
        ((".", "--max-body", 0), "max-body: expected 1 to 2147483648, received 0"),
        ((".", "--max-batch", -3), "max-batch: expected 1 to"),
        ((".", "--max-seconds", "nan"), "max-seconds: expected 0.1 to"),
        ((".", "--batch-timeout-ms", -1), "batch-timeout-ms: expected 0 to"),
    ],
)
def test_bad_input(call, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\xff" * 50)
    refused(call(*words), message)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "", "127.0.0.1.5"])
def test_hosts_that_are_unknown(call, tmp_path, monkeypatch, host):
    asked = []

    def nobody_knows(name, *_, **__):
        asked.append(name)
        raise socket.gaierror

    monkeypatch.setattr(listening.socket, "getaddrinfo", nobody_knows)
    refused(call(tmp_path, "--host", host), "host: expected this computer's name or address")
    assert asked == [host] * bool(host)


def test_a_port_that_is_taken(call, tmp_path, busy):
    refused(call(tmp_path, "--port", busy), f"port: {busy} of 127.0.0.1 is in use by another")


def test_programs_that_are_not_served(call, tmp_path):
    program = tf.Module()
    written = str(tmp_path / "written")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
    def harm(x):
        tf.io.write_file(written, "harm")
        return {"y": x}

    program.harm = harm
    tf.saved_model.save(program, str(tmp_path / "1"), signatures={"serving_default": harm})
    message = "1 is a program that is not served: writes files: WriteFile"
    refused(call(tmp_path, "--port", 0), message)
    assert not (tmp_path / "written").exists()


def test_packages_that_are_missing(call, tmp_path, monkeypatch):
    monkeypatch.setattr(serve_settings, "find_spec", lambda name: None)
    message = "serve needs starlette and uvicorn: pip install 'mdnn[serve]'"
    refused(call(tmp_path), message)
    spec = importlib.machinery.ModuleSpec("starlette", None)
    monkeypatch.setattr(serve_settings, "find_spec", {"starlette": spec}.get)
    refused(call(tmp_path), "serve needs uvicorn: ")


def test_each_option_reaches_its_setting(call, monkeypatch):
    class SeenError(MdnnError):
        pass

    def record(*values):
        seen.append(ServeSettings(*values))
        raise SeenError("seen")

    seen, words = [], ["--name", "a", "--model", "b=.", "--density", 0.5, "--member", 2]
    words += ["--engine", "keras", "--host", "::1", "--api-key", "key", "--max-batch", 3]
    words += ["--allow-host", "x.example.org", "--allow-origin", "https://y.example.org"]
    monkeypatch.setattr(serve_command, "ServeSettings", record)
    refused(call(".", *words), "seen")
    (found,) = seen
    assert (list(found.networks), found.density, found.member) == (["a", "b"], 0.5, 2)
    assert (found.engine, found.host, found.api_key) == ("keras", "::1", "key")
    assert (found.hosts, found.origins) == (("x.example.org",), ("https://y.example.org",))
    assert found.limits == RequestLimits(rows=3)
