"""A SavedModel's ops are listed, and none of them is run."""

import json

import attacks
import keras
import pytest

import mdnn
from mdnn import cli
from mdnn.safety.saved_model_ops import inspect_saved_model, is_saved_model

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are TensorFlow's", allow_module_level=True)

import tensorflow as tf


def test_what_mdnn_exports_is_harmless(tiny_exported, capsys):
    saved = tiny_exported
    assert is_saved_model(saved.parent)
    facts = inspect_saved_model(saved.parent)
    assert facts["path"] == str(saved)
    assert set(facts["notes"]) == {"its own weights"}
    assert set(facts["signatures"]) == {"serving_default", "generate", "__saved_model_init_op"}
    prompt = facts["signatures"]["generate"]["inputs"]["prompt"]
    assert prompt == "string [?]"
    loaded = tf.saved_model.load(saved)
    graph = loaded.signatures["serving_default"].graph
    assert {op.type for op in graph.get_operations()} - {"Placeholder"} <= facts["ops"].keys()
    assert cli.main(["inspect", str(saved)]) == 0
    out = capsys.readouterr().out
    assert "it was not loaded" in out
    assert "no op that runs other code, uses the network, or other files than its own" in out


def test_ops_that_reach_out_are_named(tmp_path, capsys):
    marker = tmp_path / "was run"

    class Evil(tf.Module):
        @tf.function(input_signature=[])
        def __call__(self):
            tf.io.write_file(str(marker), "evil")
            text = tf.io.read_file("/etc/hostname")
            return tf.numpy_function(lambda x: x, [text], tf.string)

    tf.saved_model.save(Evil(), tmp_path / "evil")
    assert cli.main(["inspect", str(tmp_path / "evil"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["notes"]["writes files"] == ["WriteFile"]
    assert facts["notes"]["reads files"] == ["ReadFile"]
    assert facts["notes"]["runs code"] == ["PyFunc"]
    assert not marker.exists()
    # That it is a program: whoever calls it runs it.
    tf.saved_model.load(tmp_path / "evil")()
    assert marker.exists()


def test_ops_that_nobody_knows(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(attacks.saved_model_bytes(tmp_path))
    facts = inspect_saved_model(tmp_path)
    assert facts["ops"] == {
        **{"EagerPyFunc": 1, "Evil": 1, "Placeholder": 1, "ReadFile": 1, "RestoreV2": 1, "own": 1}
    }
    assert facts["notes"] == {
        "its own weights": ["RestoreV2"],
        "runs code": ["EagerPyFunc"],
        "reads files": ["ReadFile"],
        "unknown: code that is not TensorFlow's own": ["Evil"],
    }
    (name,) = facts["signatures"]
    assert name.isprintable()
    assert facts["signatures"][name] == {"inputs": {"x": "float [?, 3]"}, "outputs": {}}


def test_no_saved_model(tmp_path):
    assert not is_saved_model(tmp_path)
    with pytest.raises(mdnn.MdnnError, match=r"is not a SavedModel: it has no saved_model\.pb"):
        inspect_saved_model(tmp_path)
