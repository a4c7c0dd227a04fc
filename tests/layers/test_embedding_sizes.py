"""Embedding sizes that differ by modality: the same vectors as tables of the stream's width."""

import numpy as np
import pytest
from backends import to_numpy, values
from layer_gradients import output_and_gradients

from mdnn.layers import ModalityEmbedding

KINDS = ("text", "word", "grey", "blank", "end")
NUMBERS = (1, 2, 4, 8, 9)
WORDS = {"modalities": KINDS, "letters": [[97, 98], [99, -1]], "sizes": {"text": 3, "word": 2}}
FULL = {"modalities": ("text", "audio"), "table": "full", "sizes": {"audio": 2}}


def made(seed=0, **options):
    layer = ModalityEmbedding(5, places=True, items=True, base=4, digits=2, **options)
    layer.build((None, 5, 8))
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def widened(layer, **options):
    """A layer without sizes of its own whose tables are the products of tables and kernels."""
    wide = made(**{**options, "sizes": None})
    arrays = {weight.name: to_numpy(weight) for weight in layer.weights}
    for weight in wide.weights:
        kind = weight.name.rsplit("_", 2)[0].replace("letter", "word")
        array = arrays[weight.name]
        kernel = arrays.get(f"{kind}_kernel", np.eye(array.shape[1]))
        weight.assign(array @ kernel)
    return wide


def rows(kinds):
    tokens = np.zeros((1, len(kinds), 8), "int32")
    tokens[0, :, 0] = kinds
    tokens[0, :, 1:] = np.random.default_rng(1).integers(0, 2, (len(kinds), 7))
    return tokens


@pytest.mark.parametrize("options", [WORDS, FULL], ids=["words", "full"])
def test_a_position_is_a_dense_layer_of_its_rows(options):
    layer = made(**options)
    assert layer.byte_tables["text"][0].shape[1] == layer.sizes.get("text", 5)
    kinds = NUMBERS if "word" in options["modalities"] else (1, 7, 0)
    tokens = rows(kinds)
    expected = values(widened(layer, **options), tokens)
    np.testing.assert_allclose(values(layer, tokens), expected, rtol=1e-4, atol=1e-5)
    again = ModalityEmbedding.from_config(layer.get_config())
    assert again.sizes == layer.sizes


def test_a_gradient_reaches_tables_and_dense_layers():
    layer = made(**WORDS)
    weights = np.random.default_rng(1).normal(size=(1, 5, 5)).astype("float32")
    *_, gradients = output_and_gradients(layer, rows(NUMBERS).astype("float32"), weights)
    assert len(gradients) == len(layer.weights)
    for weight, gradient in zip(layer.weights, gradients, strict=True):
        assert np.abs(gradient).max() > 0, weight.path


def test_rows_start_as_large_as_others():
    for size in (8, 64):
        layer = ModalityEmbedding(128, modalities=("grey",), start="ordered", sizes={"grey": size})
        layer.build((None, 4, 8))
        tokens = np.zeros((1, 256, 8), "int32")
        tokens[..., 0], tokens[..., 1] = 4, np.arange(256)
        assert 0.6 < np.sqrt(np.mean(values(layer, tokens) ** 2)) / 0.05 < 1.6


@pytest.mark.parametrize(
    ("sizes", "options"), [({"audio": 3}, {}), ({"text": 3}, {"table": "bits"})], ids=str
)
def test_layers_refuse(sizes, options):
    with pytest.raises(ValueError, match=r"sizes: expected modalities of .*text.* with tables"):
        ModalityEmbedding(64, sizes=sizes, **options)
