"""The native library reads weights from a memory map of their file."""

import keras
import numpy as np
import pytest
from native_networks import text_network

import mdnn
from mdnn.generation.engines import text_engine
from mdnn.kernels.native_texts import native_decoder
from mdnn.runs import quantization_search
from mdnn.runs.mapped_arrays import MappedArrays
from mdnn.runs.packed_variable import PackedVariable
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import read_arrays


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A network, and its run folders by storage format."""
    folder, network = tmp_path_factory.mktemp("mapped"), text_network("shift", width=64)
    folders = {"float32": mdnn.save(network, folder / "float32")}
    for dtype in ("float16", "int4"):
        folders[dtype] = mdnn.quantize(network, dtype, out=folder / dtype)
    return network, folders


def test_arrays_are_those_of_the_file(folders, tmp_path):
    path = folders[1]["int4"] / "model.safetensors"
    arrays, about = read_arrays(path)
    mapped = MappedArrays(path)
    assert mapped.about == about
    assert mapped.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(mapped.arrays[name], array)
        assert mapped.arrays[name].dtype == array.dtype
        assert not mapped.arrays[name].flags.writeable
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(mdnn.MdnnError, match="its checksum is wrong"):
        MappedArrays(tmp_path / "damaged.safetensors")
    (tmp_path / "short.safetensors").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(mdnn.MdnnError, match="not a readable safetensors file"):
        MappedArrays(tmp_path / "short.safetensors")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="weights are mapped there")
@pytest.mark.parametrize("dtype", ["float32", "float16", "int4"])
def test_large_weights_stay_in_the_file(native, folders, monkeypatch, dtype):
    """The plan is the same, and no large weight becomes a variable of the backend."""
    network, folders = folders
    whole = text_engine(open_run(folders[dtype]), "native")
    monkeypatch.setattr(quantization_search, "LEAST_CODES", 256)
    run = open_run(folders[dtype])
    outline = run.outline(MappedArrays(run.path / "model.safetensors"))
    large = [weight for weight in outline.weights if np.prod(weight.shape) >= 256]
    assert large
    assert all(isinstance(weight, PackedVariable) for weight in large)
    for weight, own in zip(outline.weights, run.opened().weights, strict=True):
        np.testing.assert_array_equal(np.asarray(weight.value), np.asarray(own.value))
    mapped = text_engine(run, "native")
    assert not run.has_model
    tokens = run.tokenizer.tokens(run.tokenizer.ids("The cats"))[:, :4]
    for a, b in zip(whole.scores(tokens, tokens), mapped.scores(tokens, tokens), strict=True):
        np.testing.assert_array_equal(a, b)
    if dtype == "float32":
        right = native_decoder(network).scores(tokens, tokens)
        np.testing.assert_array_equal(mapped.scores(tokens, tokens)[1], right[1])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="weights are mapped there")
@pytest.mark.parametrize("name", ["pairs", "inner steps"])
def test_an_outline_is_lowered_as_its_network(native, tmp_path, name):
    """It makes no graph and no variable of the backend."""
    network = text_network(name)
    run = open_run(mdnn.save(network, tmp_path / "run"))
    outline = run.outline(MappedArrays(run.path / "model.safetensors"))
    assert not isinstance(outline, keras.Model)
    assert {weight.path for weight in outline.weights} == {each.path for each in network.weights}
    assert all(weight._value is None for weight in outline.weights)
    tokens = run.tokenizer.tokens(run.tokenizer.ids("abc"))[:, :4]
    found = native_decoder(outline).scores(tokens, tokens)
    for a, b in zip(found, native_decoder(network).scores(tokens, tokens), strict=True):
        np.testing.assert_array_equal(a, b)
