"""The loss against a chain rule of its own, written in numpy."""

import keras
import numpy as np
import pytest
from backends import to_numpy, values
from networks import make_config, mix, randomize, text_tokens

from mdnn import build
from mdnn.layers import ModalityHeads
from mdnn.models.loss import TokenCrossEntropy, TokenNLL, token_nll
from mdnn.models.loss_model import LossModel
from mdnn.models.network_nll import NetworkNLL
from mdnn.tokens.modalities import Modality, modality, modality_registry

# Where each step's scores lie: modality -> [(first, last), ...], and the modality step's.
PLACES = {
    ("text",): (None, {1: [(0, 17), (17, 273), (273, 529)]}),
    ("text", "word"): (
        (0, 2),
        {1: [(2, 19), (19, 275), (275, 531)], 2: [(531, 787), (787, 1043)]},
    ),
    ("word", "text"): (
        (0, 2),
        {2: [(2, 258), (258, 514)], 1: [(514, 531), (531, 787), (787, 1043)]},
    ),
}

ROWS = [
    (1, 0, 0, 97),
    (1, 0, 101, 229),
    (0, 0, 0, 0),
    (1, 16, 255, 255),
    (0, 3, 4, 5),
    (1, 1, 209, 30),
]
WORD_ROWS = [(2, 0, 1, 0), (2, 255, 255, 0)]


def surprise(scores, first, last, answer):
    """-log of the softmax of one step's scores at its answer, in float64."""
    scores = scores[first:last].astype("float64")
    return np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[answer]


def chain_rule(row, scores, modalities):
    """Nats of one position."""
    if row[0] == 0:
        return 0.0
    modality, bytes_ = PLACES[modalities]
    nats = 0.0
    if modality is not None:
        nats += surprise(scores, *modality, modalities.index({1: "text", 2: "word"}[row[0]]))
    for (first, last), byte in zip(bytes_[row[0]], row[1:], strict=False):
        nats += surprise(scores, first, last, byte)
    return nats


def example(modalities):
    """Targets `[2, n, 8]` and random scores for them."""
    rows = ROWS + WORD_ROWS * ("word" in modalities)
    targets = np.zeros((2, len(rows), 8), "int32")
    targets[..., :4] = rows
    targets[..., 4:] = 9
    targets[1] = targets[1, ::-1]
    classes = max(last for steps in PLACES[modalities][1].values() for _, last in steps)
    scores = np.random.default_rng(0).normal(size=(2, len(rows), classes)) * 3
    return targets, scores.astype("float32")


@pytest.mark.parametrize("modalities", PLACES, ids=str)
def test_unit_nats(modalities):
    targets, scores = example(modalities)
    expected = [
        [chain_rule(row, score, modalities) for row, score in zip(*pair, strict=True)]
        for pair in zip(targets, scores, strict=True)
    ]
    nats, counted = (to_numpy(x) for x in token_nll(targets, scores, modalities))
    assert (nats.dtype, counted.dtype) == ("float32", "float32")
    np.testing.assert_allclose(nats, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(counted, targets[..., 0] > 0)
    assert (nats[targets[..., 0] == 0] == 0).all()
    for dtype in ("float32", "mixed_float16"):
        layer = TokenNLL(modalities, dtype=dtype)
        np.testing.assert_array_equal(to_numpy(layer(targets, scores)), nats)


@pytest.mark.parametrize("modalities", PLACES, ids=str)
def test_unit_loss_is_the_mean_over_counted_units(modalities):
    targets, scores = example(modalities)
    nats, counted = (to_numpy(x) for x in token_nll(targets, scores, modalities))
    assert counted.sum() < counted.size
    loss = TokenCrossEntropy(modalities)
    expected = nats.sum() / counted.sum()
    np.testing.assert_allclose(to_numpy(loss(targets, scores)), expected, rtol=1e-5)
    # More padding changes nothing.
    padded = np.concatenate([targets, targets * 0], axis=1)
    scores = np.concatenate([scores, scores + 1], axis=1)
    np.testing.assert_allclose(to_numpy(loss(padded, scores)), expected, rtol=1e-5)


def test_a_token_of_one_decision():
    """Symbols of puzzles have one step: its scores are all there are."""
    targets = np.zeros((1, 3, 8), "int32")
    targets[0, :2, 0], targets[0, :2, 1] = modality("symbol").index, (5, 31)
    scores = np.random.default_rng(1).normal(size=(1, 3, 32)).astype("float32")
    nats, counted = (to_numpy(x) for x in token_nll(targets, scores, ("symbol",)))
    expected = [*(surprise(scores[0, k], 0, 32, a) for k, a in enumerate((5, 31))), 0.0]
    np.testing.assert_allclose(nats[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(counted[0], [1, 1, 0])


def test_padding_alone_costs_nothing():
    _, scores = example(("text",))
    assert float(TokenCrossEntropy()(np.zeros((2, len(ROWS), 8), "int32"), scores)) == 0


def test_uniform_scores_cost_the_logarithm_of_the_code_points():
    targets, scores = example(("text",))
    loss = float(TokenCrossEntropy()(targets, scores * 0))
    np.testing.assert_allclose(loss, np.log(1_114_112), rtol=1e-6)


def test_config():
    loss = TokenCrossEntropy(("text", "word"), name="cost")
    revived = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(revived, TokenCrossEntropy)
    assert (revived.modalities, revived.name) == (["text", "word"], "cost")


def test_heads_and_loss_make_a_distribution(monkeypatch):
    """Over all units of small modalities, exp(-nats) sums to one, whatever the weights."""
    rows = (
        Modality("padding", 0),
        Modality("text", 1, bytes=(2, 3, 4), coordinates=("offset",)),
        Modality("word", 2, bytes=(4, 3), coordinates=("offset",)),
    )
    monkeypatch.setattr(modality_registry, "MODALITIES", {row.name: row for row in rows})
    every = [(1, *unit) for unit in np.ndindex(2, 3, 4)] + [
        (2, *unit, 0) for unit in np.ndindex(4, 3)
    ]
    targets = np.zeros((1, len(every), 8), "int32")
    targets[0, :, :4] = every
    heads = ModalityHeads(("text", "word"))
    hidden = np.repeat(np.random.default_rng(1).normal(size=(1, 1, 5)), len(every), axis=1)
    heads.build(hidden.shape)
    randomize(heads)
    scores = values(heads, hidden.astype("float32"), targets)
    nats, _ = token_nll(targets, scores, ("text", "word"))
    found = np.exp(-to_numpy(nats).astype("float64"))
    assert 0 < found.max() < 0.9
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)


def test_nats_model():
    """The network with the loss as its output has the network's inputs, whichever is which."""
    model = randomize(build(make_config(mix({}))))
    batch = {"tokens": text_tokens((2, 4)), "targets": text_tokens((2, 4), seed=1)}
    batch["targets"][0, 1] = 0
    expected, _ = token_nll(batch["targets"], model(batch), ("text",))
    found = to_numpy(NetworkNLL(model, ("text",))(batch))
    np.testing.assert_allclose(found, to_numpy(expected), rtol=1e-5)
    assert found[0, 1] == 0
    assert (found > 0).sum() == 7


def test_a_loss_of_other_heads_is_refused():
    """Scores of other steps would be mixed up, without an error and with any value."""
    model = build(make_config({"kind": "linear"}))
    tokens = text_tokens((2, 4))
    scores = model({"tokens": tokens, "targets": tokens})
    for options in ({"places": True}, {"modalities": ("text", "word")}, {"table": "full"}):
        with pytest.raises(ValueError, match="scores per position, received 529: expected the"):
            TokenCrossEntropy(**options)(tokens, scores)
    with pytest.raises(ValueError, match="loss: expected places=False, as the network's heads"):
        LossModel(model, TokenCrossEntropy(places=True))
    with pytest.raises(ValueError, match="takes 1043 scores per position, received 529"):
        NetworkNLL(model, ["text", "word"])
    with pytest.raises(ValueError, match=r"y_true: expected tokens \[batch, positions, 8\], rec"):
        TokenCrossEntropy()(tokens[..., :4], scores)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="expected modality 'text' at least 0, received"):
        TokenCrossEntropy(modality_weights={"text": weight})
