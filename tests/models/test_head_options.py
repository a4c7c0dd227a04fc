"""The modalities and decoding steps of a config's network."""

import numpy as np
import pytest
from backends import values
from networks import make_config, mix

from mdnn import build
from mdnn.models.head_options import decoding, embedding_modalities, heads_modalities
from mdnn.models.loss import loss_for
from mdnn.models.network_nll import NetworkNLL

ITEMS = {"grid": [4], "layout": "items"}


@pytest.mark.parametrize(
    ("tables", "embedded", "answered"),
    [
        ({}, ("text",), ("text",)),
        (
            {"tokens": {"modalities": ["grey", "text"]}, "context": ITEMS},
            ("grey", "text", "end"),
            ("grey", "text", "end"),
        ),
        (
            {"train": {"steps": 1, "objectives": {"parallel": 1.0}}},
            ("text", "blank"),
            ("text",),
        ),
        (
            {
                "tokens": {"modalities": ["audio"]},
                "context": ITEMS,
                "train": {"steps": 1, "objectives": {"masked_diffusion": 0.5}},
            },
            ("audio", "blank", "end"),
            ("audio", "end"),
        ),
    ],
    ids=["stream", "items", "stream with blanks", "items with blanks"],
)
def test_modalities(tables, embedded, answered):
    config = make_config(mix({}), **tables)
    assert embedding_modalities(config) == embedded
    assert heads_modalities(config) == answered
    model = build(config)
    assert tuple(model.get_layer("embedding").modalities) == embedded
    assert tuple(model.get_layer("heads").modalities) == answered


@pytest.mark.parametrize(
    ("tokens", "table"),
    [({}, "bytes"), ({"table": "full"}, "bytes"), ({"table": "bits"}, "bits")],
)
def test_decoding(tokens, table):
    places = {"answer_coordinates": True, "base": 4, "digits": 2}
    config = make_config(mix({}), width=48, tokens={**tokens, **places}, context=ITEMS)
    assert decoding(config) == {
        "modalities": ("text", "end"),
        "table": table,
        "places": True,
        "base": 4,
        "digits": 2,
        "subwords": 0,
    }


def test_the_papers_own_heads():
    config = make_config(mix({}), tokens={"heads": "full"})
    assert (decoding(config)["table"], decoding(config)["places"]) == ("full", False)


@pytest.mark.parametrize("table", ["bytes", "bits"])
def test_a_network_of_several_modalities(table):
    """Embedding, heads, loss and evaluation of one config go together."""
    config = make_config(
        mix({}),
        width=48,
        tokens={
            "modalities": ["text", "grey"],
            "table": table,
            "coordinates": True,
            "items": True,
            "answer_coordinates": True,
            "base": 4,
            "digits": 2,
            **({"table_init": "ordered"} if table == "bytes" else {}),
        },
        context=ITEMS,
    )
    model = build(config)
    embedding = model.get_layer("embedding")
    assert embedding.items
    assert embedding.start == ("ordered" if table == "bytes" else "random")
    rows = [[1, 0, 0, 97, 0, 0, 0, 0], [4, 200, 0, 0, 0, 0, 0, 1], [4, 9, 0, 0, 0, 1, 0, 1], [9]]
    tokens = np.array([[row + [0] * (8 - len(row)) for row in rows]], "int32")
    targets = np.concatenate([tokens[:, 1:], tokens[:, :1] * 0], axis=1)
    scores = values(lambda a, b: model({"tokens": a, "targets": b}), tokens, targets)
    loss = float(values(loss_for(config), targets, scores))
    nats = np.asarray(
        NetworkNLL(model, **decoding(config)).predict_on_batch(
            {"tokens": tokens, "targets": targets}
        )
    )
    assert nats.shape == (1, 4)
    assert nats[0, 3] == 0
    np.testing.assert_allclose(nats.sum() / 3, loss, rtol=1e-4)
