"""Quiet TensorFlow before anything imports it, and networks that are trained once."""

import contextlib
import gc
import os
import pathlib
import pickle
import shutil
import sqlite3  # noqa: F401  before TensorFlow, whose copy of SQLite has no FTS5
import sys
import tempfile
import time

import pytest

from mdnn.native import native_build

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Processes side by side (pytest-xdist): each with its share of the cores, not all of them.
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, share)))

# Tests compile much and compute little.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


# Tests write with Keras, whatever library is installed or in this user's cache; tests/kernels
# builds one. No other tests, before these or beside them, use the same folder.
os.environ["MDNN_CACHE"] = os.path.join(tempfile.gettempdir(), f"mdnn-no-library-{os.getpid()}")
native_build.packaged_libraries = list
native_build.packaged_axis_libraries = list

HERE = ("localhost", "127.0.0.1", "::1", "", None)


def _no_network(event, args):
    """Fails whatever test asks anybody but this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if isinstance(address, tuple) and address[0] not in HERE:
            raise RuntimeError(f"tests ask nobody: {event} {address}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        name = args[0].decode() if isinstance(args[0], bytes) else args[0]
        if name not in HERE:
            raise RuntimeError(f"tests ask nobody: {event} {name}")


sys.addaudithook(_no_network)


if os.environ.get("KERAS_BACKEND") == "torch":
    import on_torch

    on_torch.prepare()


def pytest_configure(config):
    if os.environ.get("KERAS_BACKEND") == "torch":
        # float() of a loss.
        scalar = "ignore:Converting a tensor with requires_grad=True to a scalar:UserWarning"
        config.addinivalue_line("filterwarnings", scalar)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Marks what slow_cases.txt names as long; on TensorFlow each line must name a test."""
    lines = (pathlib.Path(__file__).parent / "slow_cases.txt").read_text("utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    idle, beginnings = set(names), [name for name in names if name.endswith("*")]
    whole = idle.difference(beginnings)
    for item in items:
        found = whole & {item.nodeid, item.nodeid.partition("[")[0]}
        found |= {name for name in beginnings if item.nodeid.startswith(name[:-1])}
        if found:
            item.add_marker(pytest.mark.long)
            idle -= found
    files = {item.nodeid.split("::")[0] for item in items}
    idle = sorted(name for name in idle if name.split("::")[0] in files)
    # Other backends have fewer cases.
    every = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    if idle and every and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"tests/slow_cases.txt names no test: {', '.join(idle)}")


def pytest_collection_finish(session):
    """Decodes texts without XLA, but in the tests that ask for `with_xla` and in `make test-long`.

    To compile a decoder takes longer than all that most tests decode without.
    """
    # What was imported is not garbage, and to look for some after every 700 objects takes a tenth
    # of the time: a small network is 100,000.
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    if session.config.option.markexpr == "not long" and "keras" in sys.modules:
        from mdnn.generation import text_decoder
        from mdnn.models.compiling import without_xla

        text_decoder.compile_with_xla = lambda model, xla: without_xla(model)


@pytest.fixture
def with_xla(monkeypatch):
    """Decodes texts as users do: XLA compiles on TensorFlow."""
    from mdnn.generation import text_decoder
    from mdnn.models.compiling import compile_with_xla

    monkeypatch.setattr(text_decoder, "compile_with_xla", compile_with_xla)


@pytest.fixture(scope="module")
def decoded_without_xla():
    """Decodes texts without XLA in `make test-long`, too: to compile takes longer than to write."""
    from mdnn.generation import text_decoder
    from mdnn.models.compiling import without_xla

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_decoder, "compile_with_xla", lambda model, xla: without_xla(model))
        yield


@pytest.fixture(autouse=True)
def same_start():
    """What a test draws does not depend on the tests before it."""
    if "keras" in sys.modules:
        with _kernels_stay():
            sys.modules["keras"].utils.set_random_seed(1)


@contextlib.contextmanager
def _kernels_stay():
    """TensorFlow keeps the kernels that it has made when it is given a seed.

    To make them again is a quarter of what most tests of layers compute, and more of those that
    share a compiled network. Keras' random numbers have their states in variables, not in kernels.
    """
    from tensorflow.python import pywrap_tfe

    clear, pywrap_tfe.TFE_ContextClearCaches = pywrap_tfe.TFE_ContextClearCaches, lambda context: 0
    try:
        yield
    finally:
        pywrap_tfe.TFE_ContextClearCaches = clear


@pytest.fixture(scope="session")
def tiny_training(tmp_path_factory):
    """What `mdnn.train` says of a tiny character network; `run` is its folder."""
    return _trained_once(tmp_path_factory, "tiny", _train)


@pytest.fixture(scope="session")
def tiny_run(tiny_training):
    return pathlib.Path(tiny_training["run"])


@pytest.fixture(scope="session")
def words_run(tmp_path_factory):
    """The run folder of a tiny network of words and characters."""
    import tiny

    settings = (*tiny.WORDS, "train.num_evaluations=0", "train.sample=0")
    training = _trained_once(tmp_path_factory, "words", lambda folder: _train(folder, *settings))
    return pathlib.Path(training["run"])


@pytest.fixture(scope="session")
def items_training(tmp_path_factory):
    """What `mdnn.train` says of a tiny network of words, 4x4 pictures and sounds."""
    return _trained_once(tmp_path_factory, "items", _train_items)


@pytest.fixture(scope="session")
def items_run(items_training):
    """The run folder of a tiny network that writes words, pictures and sounds in all three ways.

    Its manifest lies beside it.
    """
    return pathlib.Path(items_training["run"])


def _opened(run):
    from mdnn.runs.cached_runs import cached_run

    return cached_run(run)


@pytest.fixture(scope="session")
def opened_tiny(tiny_run):
    """`tiny_run` opened once for all tests that only read it: what one compiles, others find."""
    return _opened(tiny_run)


@pytest.fixture(scope="session")
def completions_of_tiny(opened_tiny):
    """Answers completions with `opened_tiny`."""
    from mdnn.generation.completions.text_completions import TextCompletions

    return TextCompletions(opened_tiny)


@pytest.fixture(scope="session")
def opened_words(words_run):
    return _opened(words_run)


@pytest.fixture(scope="session")
def opened_items(items_run):
    return _opened(items_run)


@pytest.fixture(scope="session")
def tiny_exported(tiny_run, tmp_path_factory):
    """The folder of a SavedModel of `tiny_run`, which XLA compiles."""
    import mdnn

    def export(folder):
        mdnn.export(tiny_run, folder / "run" / "new")
        return {"run": folder / "run"}

    return pathlib.Path(_trained_once(tmp_path_factory, "exported", export)["run"]) / "new" / "1"


@pytest.fixture(scope="session")
def thorough(pytestconfig):
    """Whether this is `make test-long`, where XLA compiles what it does for users."""
    return pytestconfig.option.markexpr != "not long"


def _train(folder, *settings):
    import tiny

    import mdnn

    return mdnn.train(tiny.load_config(folder, *settings), folder / "run", show=False)


def _train_items(folder):
    import tiny

    import mdnn

    return mdnn.train(tiny.load_items(folder), folder / "run", show=False)


def _trained_once(tmp_path_factory, name, train):
    """Trains in one of the processes of pytest-xdist; the others get copies of the folder."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return train(tmp_path_factory.mktemp(name))
    shared = tmp_path_factory.getbasetemp().parent / f"trained-{name}"
    try:
        shared.mkdir()
    except FileExistsError:
        return _copy_of_training(shared, tmp_path_factory.mktemp(name))
    try:
        folder = tmp_path_factory.mktemp(name)
        training = train(folder)
        shutil.copytree(folder, shared / "folder")
        (shared / "training").write_bytes(pickle.dumps(training))
        (shared / "training").rename(shared / "done")
    except BaseException:
        (shared / "failed").touch()
        raise
    return training


def _copy_of_training(shared, folder):
    while not (shared / "done").exists():
        assert not (shared / "failed").exists(), "the training failed in another process"
        time.sleep(0.2)
    shutil.copytree(shared / "folder", folder, dirs_exist_ok=True)
    return pickle.loads((shared / "done").read_bytes()) | {"run": str(folder / "run")}
