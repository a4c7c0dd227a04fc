"""Export on a backend that makes no SavedModels."""

import keras
import pytest

import mdnn

if keras.backend.backend() == "tensorflow":
    pytest.skip("here it makes some", allow_module_level=True)


def test_export_needs_tensorflow(tmp_path, tiny_run):
    with pytest.raises(mdnn.MdnnError, match="export needs the TensorFlow backend, Keras runs on"):
        mdnn.export(tiny_run, tmp_path / "served")
    assert not (tmp_path / "served").exists()
