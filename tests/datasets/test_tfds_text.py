"""Text sets of TensorFlow Datasets: prepared ones load, absent ones end in one line, soon."""

import http.server
import socket
import sys
import threading
import time

import pytest

from mdnn.datasets.text.text_sources import read_text
from mdnn.datasets.tfds import tfds_sets
from mdnn.errors import MdnnError

SETS = """
import pathlib
import numpy as np
import tensorflow_datasets as tfds

SPLITS = {
    "mdnn_whole": {"test": ["ef"], "train": ["ab\\r\\n"], "validation": ["cdé"]},
    "mdnn_many": {"unsupervised": ["no"], "test": ["three"], "train": ["one", "two"]},
    "mdnn_odd": {"b": ["two"], "a": ["one"]},
    "mdnn_named": {"train": ["one"]},
    "mdnn_bad": {"train": ["fine", b"ab\\xff"]},
}
STRING = tfds.features.Tensor(shape=(), dtype=np.object_)
FEATURES = {
    "mdnn_whole": {"text": tfds.features.Text()},
    "mdnn_many": {
        "aaa": STRING,
        "bbb": tfds.features.Text(),
        "label": tfds.features.ClassLabel(num_classes=2),
    },
    "mdnn_odd": {"number": tfds.features.Scalar(np.int32), "words": STRING},
    "mdnn_named": {"aaa": tfds.features.Text(), "text": tfds.features.Text()},
    "mdnn_bad": {"bbb": tfds.features.Text()},
    "mdnn_none": {"image": tfds.features.Tensor(shape=(2,), dtype=np.float32)},
}
VALUES = {"text": lambda x: x, "words": lambda x: x, "bbb": lambda x: x, "aaa": lambda x: "no",
          "label": lambda x: 1, "number": lambda x: 7}


class Base(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(FEATURES[self.name])
        )

    def _split_generators(self, manager):
        return {name: self._generate_examples(texts) for name, texts in SPLITS[self.name].items()}

    def _generate_examples(self, texts):
        for number, text in enumerate(texts):
            yield number, {key: VALUES[key](text) for key in FEATURES[self.name]}


class MdnnWhole(Base): pass
class MdnnMany(Base): pass
class MdnnOdd(Base): pass
class MdnnNamed(Base): pass
class MdnnBad(Base): pass
class MdnnNone(Base): pass
"""


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def sets(tfds, tmp_path_factory):
    """Returns a folder whose `sitecustomize` defines the sets above, here and elsewhere."""
    folder = tmp_path_factory.mktemp("sets")
    (folder / "sitecustomize.py").write_text("import mdnn_test_sets\n")
    (folder / "mdnn_test_sets.py").write_text(SETS)
    sys.path.insert(0, str(folder))
    try:
        import mdnn_test_sets  # noqa: F401
    finally:
        sys.path.remove(str(folder))
    return folder


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / "tfds"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


def error_line(source):
    """Returns the error of a source, which must be one line and come soon."""
    start = time.monotonic()
    with pytest.raises(MdnnError) as error:
        read_text(source)
    assert time.monotonic() - start < 30
    message = str(error.value)
    assert "\n" not in message
    return message


def prepare(tfds, name, folder):
    tfds.builder(name, data_dir=folder).download_and_prepare()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # one text cut into splits is put together again
        ("mdnn_whole", "ab\r\ncdéef"),
        ("mdnn_whole:1.0.0", "ab\r\ncdéef"),
        # a feature of type Text goes before a string; other splits stay out
        ("mdnn_many", "one\n\ntwo\n\nthree"),
        # the one named "text" goes before the others
        ("mdnn_named", "one"),
        # neither: the string, and all the splits
        ("mdnn_odd", "onetwo"),
    ],
)
def test_prepared_sets_load_without_a_network(tfds, sets, data_dir, monkeypatch, name, text):
    prepare(tfds, name.partition(":")[0], data_dir)
    monkeypatch.setattr(tfds_sets, "_prepare", lambda *_: pytest.fail("is prepared"))
    # TFDS stores examples in an order of its own
    assert sorted(read_text(f"tfds:{name}")) == sorted(text)
    if name != "mdnn_many":
        assert read_text(f"tfds:{name}") == text
    else:
        assert read_text(f"tfds:{name}").endswith("\n\nthree")


def test_text_that_is_not_utf_8(tfds, sets, data_dir):
    prepare(tfds, "mdnn_bad", data_dir)
    message = error_line("tfds:mdnn_bad")
    assert "of split 'train' is not UTF-8 text: byte 0xff at offset 2" in message


def test_a_set_is_prepared_where_it_is_not_there(sets, data_dir, capsys):
    assert read_text("tfds:mdnn_whole") == "ab\r\ncdéef"
    assert (data_dir / "mdnn_whole" / "1.0.0" / "dataset_info.json").is_file()
    # standard output is for results
    assert capsys.readouterr().out == ""


def test_a_set_that_cannot_be_prepared(sets, data_dir, monkeypatch):
    def refuse(*_):
        raise RuntimeError("wrapped") from OSError("\nno route\nto host")

    monkeypatch.setattr("mdnn_test_sets.MdnnWhole._split_generators", refuse)
    message = error_line("tfds:mdnn_whole")
    assert message.startswith(f"tfds:mdnn_whole is not in {str(data_dir)!r} and could not be")
    assert "(OSError: no route)" in message
    assert "t.load('mdnn_whole', data_dir='sets')" in message


def test_a_server_that_does_not_answer_is_given_up(tfds, data_dir, monkeypatch):
    # one that takes the connection and says nothing; no set is looked for elsewhere
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setattr(tfds_sets, "PATIENCE", 0.5)
        message = error_line("tfds:tiny_shakespeare")
    assert "could not be prepared (no answer for 0.5 s)" in message or "timed out" in message
    assert not data_dir.exists()


def test_an_answer_of_any_kind_is_a_network(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert tfds_sets._unreachable(f"http://127.0.0.1:{server.server_port}/a") is None
        server.shutdown()
    assert tfds_sets._unreachable(None) is None
    assert "refused" in tfds_sets._unreachable("http://127.0.0.1:9/a")
    assert "unknown url type" in tfds_sets._unreachable("nowhere")


def test_without_a_network_the_error_comes_soon_and_nothing_stays(tfds, data_dir, monkeypatch):
    # a proxy that refuses every connection stands for no network; ten retries took minutes
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    message = error_line("tfds:tiny_shakespeare")
    assert message.startswith(f"tfds:tiny_shakespeare is not in {str(data_dir)!r} and could not")
    assert "Connection refused" in message
    assert not data_dir.exists()


def test_reason_is_the_first_error_of_a_chain_in_one_line():
    chain = RuntimeError("wrapped")
    chain.__cause__ = OSError("\nno route\nto host")
    assert tfds_sets._first_error(chain) == "OSError: no route"
    assert tfds_sets._first_error(KeyError()) == "KeyError"


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    message = error_line("tfds:tiny_shakespeare")
    assert message.startswith("tfds:tiny_shakespeare needs TensorFlow Datasets (")
    assert message.endswith("pip install 'mdnn[tfds]'")


def test_sets_without_text_are_refused_before_a_download(sets, data_dir, monkeypatch):
    monkeypatch.setattr(tfds_sets, "_prepare", lambda *_: pytest.fail("has no text"))
    assert error_line("tfds:mdnn_none") == "tfds:mdnn_none has no text; its features are: image"


def test_unknown_sets_offer_the_nearest_name(tfds, data_dir):
    message = error_line("tfds:tiny_shakespear")
    assert message == "TFDS has no set 'tiny_shakespear' (did you mean 'tfds:tiny_shakespeare'?)"
    assert error_line("tfds:xqzzzzz") == "TFDS has no set 'xqzzzzz'"


@pytest.mark.parametrize("name", ["", "a b", "huggingface:x", "../x"])
def test_bad_names(tfds, name):
    message = error_line(f"tfds:{name}")
    assert message.startswith("expected tfds:NAME")
    assert message.endswith(f"received 'tfds:{name}'")


def test_unknown_version_and_config(tfds, data_dir):
    message = error_line("tfds:tiny_shakespeare:9.9.9")
    assert "cannot be loaded at version 9.9.9, only: 1.0.0" in message
    assert "BuilderConfig nope not found" in error_line("tfds:imdb_reviews/nope")
