"""Nothing in mdnn asks the network: not when it is imported, not in training, not in loading."""

import json
import subprocess
import sys

import keras
import pytest
import tiny

IMPORTS = """
import sys
asked = []
def hear(event, args):
    if event.startswith(("socket.connect", "socket.send", "socket.get")):
        asked.append([event, repr(args)])
sys.addaudithook(hear)
import importlib, json, pkgutil
import mdnn
for module in pkgutil.walk_packages(mdnn.__path__, "mdnn."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        # Training on JAX and on a mesh needs JAX.
        if error.name != "jax":
            raise
"""
PROGRAM = f"""{IMPORTS}
config, run = sys.argv[1:]
mdnn.train(config, run, show=False)
mdnn.evaluate(run, sliding=False)
mdnn.generate(run, "The ", length=3)
mdnn.export(run, run + "-served")
mdnn.load(run).save(run + ".keras")
mdnn.load(run + ".keras")
print(json.dumps(asked))
"""


def test_no_network_at_import():
    """In a process of its own: what other tests have loaded does not mix with all of mdnn."""
    program = f"{IMPORTS}print(json.dumps(asked))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports")
def test_no_network_at_import_in_training_or_in_loading(tmp_path):
    config = tmp_path / "quick.toml"
    config.write_text(tiny.load_config(tmp_path, *tiny.QUICK).to_toml(), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, config, str(tmp_path / "run")]
    # Where the system allows it there is no network to be asked, for C++ either.
    alone = ["unshare", "--map-root-user", "--net"]
    try:
        able = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        able = False
    done = subprocess.run([*(alone if able else []), *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_test_that_asks_the_network_fails():
    import socket

    with (
        socket.socket() as asking,
        pytest.raises(RuntimeError, match=r"tests ask nobody: .*192\.0\.2\.1"),
    ):
        asking.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match=r"tests ask nobody: .*example\.com"):
        socket.getaddrinfo("example.com", 80)
