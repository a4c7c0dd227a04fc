"""Texts of the native library against those of Keras: the same scores, the same characters."""

import ctypes

import numpy as np
import pytest
from keras import ops
from native_networks import NETWORKS, mix, text_network

import mdnn
from mdnn import MdnnError
from mdnn.generation.engines import keras_texts, text_engine, why_not_native
from mdnn.generation.text_stream import TextStream
from mdnn.generation.windows import encode_prompts, overlap_length
from mdnn.kernels import structures as c
from mdnn.kernels.lowering import NotLoweredError
from mdnn.kernels.matrices import Codes
from mdnn.kernels.native_texts import NativeDecoder, native_decoder
from mdnn.kernels.network_plan import NativePlan
from mdnn.runs.run_folder import open_run
from mdnn.tokens.characters import TextTokenizer

PROMPTS = ["The cat ", "m", "The cat sat on the mat", "Ça v"]


def letters(count, seed):
    tokens = np.zeros((1, count, 8), "int32")
    tokens[..., 0] = 1
    tokens[..., 3] = np.random.default_rng(seed).integers(97, 123, size=count)
    tokens[..., 4] = np.arange(count)
    return tokens


@pytest.mark.parametrize("name", NETWORKS)
def test_scores(native, name):
    network = text_network(name)
    decoder = native_decoder(network)
    tokens, targets = (letters(network.positions, seed) for seed in (0, 1))
    hidden = ops.convert_to_numpy(network.hidden(tokens, True))[0]
    scores = ops.convert_to_numpy(network.heads(hidden[None], targets))[0]
    for chunk in (64, 2):
        found = decoder.scores(tokens[0, :, :4], targets[0, :, :4], chunk)
        np.testing.assert_allclose(found[0], hidden, atol=2e-5 * np.abs(hidden).max())
        np.testing.assert_allclose(found[1], scores, atol=1e-4)
    assert np.abs(hidden).max() > 0.1


def settings(rows):
    return {
        "seed": np.arange(rows, dtype="int32") - 1,
        "temperature": np.float32([0.8, 0.0, 1.0, 0.7][:rows]),
        "top_k": np.int32([0, 0, 5, 40][:rows]),
        "top_p": np.float32([1, 1, 0.9, 0.95][:rows]),
    }


@pytest.mark.parametrize("name", ["three axes", "shift"])
def test_characters(native, name):
    """The same characters, over many contexts, of texts together and alone."""
    network = text_network(name)
    positions, overlap = network.positions, overlap_length(network.grid)
    window, filled = encode_prompts(TextTokenizer(()), PROMPTS, positions)
    expected = keras_texts(network, sampler="filtered").start(window, filled, settings(4))
    decoder = native_decoder(network, overlap=overlap)
    found = decoder.start(window, filled, settings(4))
    texts = [np.concatenate(parts) for parts in zip(*_decoded(expected, 11, 30), strict=True)]
    others = [np.concatenate(parts) for parts in zip(*_decoded(found, 30), strict=True)]
    for text, other in zip(texts, others, strict=True):
        count = min(len(text), len(other))
        assert count > 20
        np.testing.assert_array_equal(text[:count], other[:count])
    alone = decoder.start(window[2:3], filled[2:3], {k: v[2:3] for k, v in settings(4).items()})
    np.testing.assert_array_equal(np.concatenate(_decoded(alone, 7, 23), axis=1)[0], others[2])


def test_learned_slots(native):
    """Slots stay at the start of every context, and are not characters."""
    network = text_network("grid", context={"grid": NETWORKS["grid"][0], "slots": 3})
    overlap = overlap_length(network.grid)
    window, filled = encode_prompts(TextTokenizer(()), PROMPTS[:2], network.positions, 3)
    expected = keras_texts(network, sampler="filtered").start(window, filled, settings(2))
    found = native_decoder(network, overlap=overlap).start(window, filled, settings(2))
    texts, others = _decoded(expected, 40)[0], _decoded(found, 40)[0]
    for text, other in zip(texts, others, strict=True):
        assert len(text) > 20
        np.testing.assert_array_equal(text, other[: len(text)])


def _decoded(groups, *counts):
    return [groups.decode(count) for count in counts]


def test_texts_that_are_not_active_wait(native):
    network = text_network("grid")
    decoder = native_decoder(network, overlap=overlap_length(network.grid))
    window, filled = encode_prompts(TextTokenizer(()), PROMPTS, network.positions)
    groups = decoder.start(window, filled, settings(4))
    first = groups.decode(5, [True, False, True, False])
    assert [len(tokens) for tokens in first] == [5, 0, 5, 0]
    later = groups.decode(5)
    whole = decoder.start(window, filled, settings(4)).decode(10)
    for begun, went_on, expected in zip(first, later, whole, strict=True):
        found = np.concatenate([begun, went_on])
        np.testing.assert_array_equal(found, expected[: len(found)])


@pytest.mark.parametrize("length", [600, pytest.param(2000, marks=pytest.mark.long)])
def test_a_trained_run_writes_the_same(native, tiny_run, length):
    """Characters of a trained network, over many contexts."""
    texts = [
        mdnn.generate(tiny_run, "The ", length=length, seed=3, engine=engine)
        for engine in ("native", "keras")
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == length


@pytest.mark.parametrize("run", ["tiny_run", "words_run"])
def test_streams(native, request, run):
    run = open_run(request.getfixturevalue(run))
    arguments = (["The cat ", "dog", "T"], [40, 5, 33], [0.8, 0.0, 1.2], [1, 2, -3])
    written = []
    for engine in ("native", "keras"):
        pieces = list(TextStream(run, engine).write(*arguments))
        written.append(["".join(parts) for parts in zip(*pieces, strict=True)])
    assert written[0] == written[1]
    assert [len(text) for text in written[0]] == [40, 5, 33]


def product_kinds(plan):
    """Yields the storage of the matrices of a plan's products."""
    operations = ctypes.cast(plan.plan.op, ctypes.POINTER(c.COperation))
    for operation in operations[: plan.plan.ops]:
        if operation.kind == c.OP_DENSE:
            yield c.CMatrix.from_address(operation.extra).kind


@pytest.mark.parametrize("dtype", ["float16", "int8", "int4"])
def test_small_weights(native, tmp_path, dtype):
    """Codes are not expanded, and give the scores of the expanded weights."""
    network = text_network("shift", width=64)
    small = mdnn.quantize(network, dtype, out=tmp_path / "small")
    run = open_run(small)
    decoder = text_engine(run, "native")
    kind = {"float16": c.FLOAT16, "int8": c.INT8, "int4": c.INT4}[dtype]
    assert set(product_kinds(decoder.plan)) == {kind}
    tokens, targets = (letters(network.positions, seed)[0, :, :4] for seed in (0, 1))
    hidden, scores = decoder.scores(tokens, targets)
    expected = native_decoder(run.model).scores(tokens, targets)
    np.testing.assert_allclose(hidden, expected[0], atol=1e-5 * np.abs(hidden).max())
    np.testing.assert_allclose(scores, expected[1], atol=1e-4)
    texts = [mdnn.generate(small, "T", length=50, engine=name) for name in ("native", "keras")]
    assert texts[0] == texts[1]


def codes_of_inputs(variable):
    """A weight in codes of 8 bits with a scale for each group of 32 inputs, where it has some."""
    values = ops.convert_to_numpy(variable)
    if len(values) % 32:
        return values
    groups = values.T.reshape(values.shape[1], -1, 32)
    scales = (np.abs(groups).max(-1) / 127).astype("float16")
    codes = np.rint(groups / np.maximum(scales, 1e-6)[..., None].astype("float32"))
    return Codes(codes.reshape(values.T.shape).astype("int8"), scales, 8, turned=True)


def test_inputs_of_8_bits(native):
    """Scores are nearly those of exact products, of texts together and alone the same."""
    network = text_network("shift", width=64)
    overlap = overlap_length(network.grid)
    exact, rounded = (
        NativeDecoder(NativePlan(network, None, overlap, 0, codes_of_inputs, rounding))
        for rounding in (False, True)
    )
    assert exact.plan.roundings == 0 < rounded.plan.roundings
    tokens, targets = (letters(network.positions, seed)[0, :, :4] for seed in (0, 1))
    (hidden, scores), found = exact.scores(tokens, targets), rounded.scores(tokens, targets)
    errors = np.abs(found[0] - hidden).max() / np.abs(hidden).max()
    assert 0 < errors < 0.03
    np.testing.assert_allclose(found[1], scores, atol=0.03 * np.abs(scores).max())
    window, filled = encode_prompts(TextTokenizer(()), PROMPTS, network.positions)
    together = rounded.start(window, filled, settings(4)).decode(20)
    for k in range(4):
        own = {name: values[k : k + 1] for name, values in settings(4).items()}
        alone = rounded.start(window[k : k + 1], filled[k : k + 1], own).decode(20)
        np.testing.assert_array_equal(alone[0], together[k])


def test_inputs_of_8_bits_need_codes(native, tiny_run):
    with pytest.raises(MdnnError, match=r"native-int8.* needs weights of 8 or 4 bits .* float32"):
        mdnn.generate(tiny_run, "The ", length=3, engine="native-int8")


def test_what_it_cannot_run_is_named(native, tmp_path):
    fold = {"kind": "fold", "width": 6, "block": [mix({})]}
    NETWORKS["fold"] = ([2, 3], [fold, mix({"axes": [2]})], {})
    network = text_network("fold")
    del NETWORKS["fold"]
    run = open_run(mdnn.save(network, tmp_path / "run"))
    with pytest.raises(NotLoweredError, match="block_0_fold: block RowBottleneck"):
        text_engine(run, "native")
    assert "block_0_fold" in why_not_native(run)
    assert len(mdnn.generate(run, "T", length=3)) == 3


def test_a_network_in_memory_is_read_anew(native):
    """Its weights may change: the engine auto takes Keras, native packs them again."""
    network = text_network("shift")
    assert "memory" in why_not_native(open_run(network))
    before = mdnn.generate(network, "T", length=20, engine="native", temperature=1.5)
    for weight in network.weights:
        weight.assign(weight * 0.9)
    after = mdnn.generate(network, "T", length=20, engine="native", temperature=1.5)
    assert before != after
    assert after == mdnn.generate(network, "T", length=20, temperature=1.5)


def test_damaged_weights(native, tmp_path):
    run = mdnn.save(text_network("shift"), tmp_path / "run")
    file = run / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(MdnnError, match="is damaged"):
        mdnn.generate(run, "T", length=3, engine="native")
