"""Servers of one run, one after another: what is compiled is compiled once."""

import keras
import pytest

import mdnn

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

import loop_calls
from tandem_networks import saved_tandem

from mdnn.generation.text_decoder import TextDecoder
from mdnn.serving.server import served_models
from mdnn.serving.server.served_models import open_served_model


@pytest.fixture
def path(opened_tiny, tmp_path):
    """A run folder that no other test serves."""
    return mdnn.save(opened_tiny, tmp_path / "run")


@pytest.mark.usefixtures("decoded_without_xla")
def test_the_next_server_traces_nothing(path, monkeypatch):
    made, original = [], TextDecoder.__init__

    def init(self, *args, **options):
        original(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(TextDecoder, "__init__", init)
    loop_calls.serve_a_text(path)
    traces = [decoder.traces for decoder in made]
    assert sum(traces)
    loop_calls.serve_a_text(path)
    assert [decoder.traces for decoder in made] == traces


def test_each_setting_has_its_own(path):
    keras_own = open_served_model(path, "keras").completions
    assert open_served_model(path, "keras").completions is keras_own
    assert open_served_model(path).completions is not keras_own


def test_few_are_kept(path, monkeypatch):
    monkeypatch.setattr(served_models, "MAX_WRITERS", 1)
    before = open_served_model(path, "keras").completions
    open_served_model(path)
    assert open_served_model(path, "keras").completions is not before


def test_a_folder_that_changed_is_read_again(path):
    before = open_served_model(path)
    network = mdnn.load(path)
    for weight in network.weights:
        weight.assign(keras.ops.zeros_like(weight))
    mdnn.save(network, path, overwrite=True)
    after = open_served_model(path)
    assert after.completions is not before.completions
    assert not any(weight.numpy().any() for weight in after.completions.run.model.weights)


def test_one_member_of_a_folder(tmp_path):
    path = saved_tandem(tmp_path).path
    first = open_served_model(path, member=1).completions
    assert open_served_model(path, member=1).completions is first
    assert open_served_model(path, member=0).completions is not first
